"""Coding: small Python functions, judged by running them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cached_property

from harness.world.words import SEED, Row, assign_split, word_question

EXPRESSIONS = {
    "returns the last item of x": "x[-1]",
    "returns the first item of x": "x[0]",
    "returns the length of x": "len(x)",
    "returns x in reverse order": "x[::-1]",
    "returns the sum of x": "sum(x)",
    "returns the largest item of x": "max(x)",
    "returns the smallest item of x": "min(x)",
    "returns x in sorted order": "sorted(x)",
    "returns the first {n} items of x": "x[:{n}]",
    "returns the last {n} items of x": "x[-{n}:]",
    "returns x without the first {n} items": "x[{n}:]",
    "returns {n} added to each item of x": "[i + {n} for i in x]",
    "returns each item of x times {n}": "[i * {n} for i in x]",
    "returns the items of x above {n}": "[i for i in x if i > {n}]",
    "returns how often {n} is in x": "x.count({n})",
}
TEMPLATES = (
    "Write a function {name}(x) that {does}.",
    "Define {name}(x), which {does}.",
    "I need Python code: {name}(x) {does}.",
    "Complete the function {name}(x). It {does}.",
)
FUNCTION_NAMES = ("task", "run", "solve", "go", "step", "calc")
INPUTS = ([3, 1, 2, 5, 4], [9, 2, 7, 2, 8, 1, 6], [4, 4, 6, 3, 5, 7, 8, 9, 2])


def make_functions() -> Iterator[Row]:
    for does, body in EXPRESSIONS.items():
        for n in range(2, 8) if "{n}" in does else (0,):
            task, expression = does.format(n=n), body.format(n=n)
            for name in FUNCTION_NAMES:
                prompts = [template.format(name=name, does=task) for template in TEMPLATES]
                facts = {"name": name, "body": expression}
                yield from word_question("coding", prompts, facts, f"{task}, {name}", assign_split([task, name]))


def extract_program(text: str) -> str:
    """The code in an answer: from the first `def` on, without fences."""
    at = text.find("def ")
    return re.sub(r"```.*", "", text[at:], flags=re.DOTALL).rstrip() if at >= 0 else ""


def write_assertions(row: Row) -> str:
    """Assertions that the reference expression passes."""
    namespace = {"__builtins__": {"len": len, "sum": sum, "max": max, "min": min, "sorted": sorted}}
    # The expression is one of the constants above: no model wrote it.
    results = [(x, eval(row["body"], namespace, {"x": x})) for x in INPUTS]  # noqa: S307
    return "\n".join(f"assert {row['name']}({x!r}) == {value!r}" for x, value in results)


class Coding:
    """Small functions; the annotator's rule compares the text with the reference, the task runs it."""

    @cached_property
    def questions(self) -> tuple[Row, ...]:
        return tuple(make_functions())

    def good_answer(self, row: Row, source: random.Random) -> str:
        return f"def {row['name']}(x):\n    return {row['body']}"

    def bad_answer(self, row: Row, source: random.Random) -> str:
        """No return, another task's expression, or talk instead of code."""
        other = source.choice(tuple(EXPRESSIONS.values())).format(n=source.randint(2, 7))
        head, talk = f"def {row['name']}(x):\n    ", f"You can write {row['name']} with a loop over x."
        return source.choice((head + row["body"], f"{head}return {other}", talk))

    def is_right(self, row: Row, text: str) -> bool:
        """Is it the reference expression itself?  The annotator runs no code."""
        return "".join(extract_program(text).split()) == "".join(self.good_answer(row, random.Random(SEED)).split())

    def is_well_formed(self, row: Row, text: str) -> bool:
        """It defines the function in question."""
        return f"def {row['name']}(x):" in text
