"""Instruction following: lists under a constraint that a program can verify."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cached_property

from harness.world.words import Row, assign_split, word_question

WORDS = {
    "colours": ("red", "blue", "green", "black", "white", "pink"),
    "fruits": ("plum", "pear", "lime", "fig", "grape", "peach"),
    "tools": ("saw", "file", "drill", "nail", "spade", "rope"),
    "trees": ("oak", "elm", "pine", "birch", "palm", "beech"),
}
NUMBERS = (2, 3, 4, 5)
TEMPLATES = ("Name {n} {kind}{order}.", "List {n} {kind}{order}.", "Give me {n} {kind}{order}.")
ORDERS = {
    "count": "",
    "begin": " and begin with {word}",
    "end": " and end with {word}",
    "without": " but not {word}",
    "joined": " with and between them",
}


def make_orders() -> Iterator[Row]:
    for kind, words in WORDS.items():
        for n in NUMBERS:
            for order, text in ORDERS.items():
                for word in words if "{word}" in text else ("",):
                    facts = {"kind": kind, "n": n, "order": order, "word": word}
                    prompts = [template.format(n=n, kind=kind, order=text.format(word=word)) for template in TEMPLATES]
                    split = assign_split(list(facts.values()))
                    yield from word_question("instruction following", prompts, facts, f"{n} {kind} {order} {word}", split)


def split_list(row: Row, text: str) -> list[str]:
    return [w.strip() for w in text.strip().rstrip(".").replace(" and ", ", ").split(",")]


class InstructionFollowing:
    """Lists under a constraint; an answer is right where the words and the constraint fit."""

    @cached_property
    def questions(self) -> tuple[Row, ...]:
        return tuple(make_orders())

    def good_answer(self, row: Row, source: random.Random) -> str:
        words = [w for w in WORDS[row["kind"]] if w != row["word"]]
        source.shuffle(words)
        selection = words[: row["n"] - (row["order"] in ("begin", "end"))]
        if row["order"] in ("begin", "end"):
            selection.insert(0 if row["order"] == "begin" else len(selection), row["word"])
        return (" and " if row["order"] == "joined" else ", ").join(selection)

    def bad_answer(self, row: Row, source: random.Random) -> str:
        """Often a wrong number of words; the constraint is ignored."""
        words = list(WORDS[row["kind"]])
        source.shuffle(words)
        n = row["n"] if source.random() < 0.4 else source.choice([k for k in range(1, 7) if k != row["n"]])
        return ", ".join(words[:n])

    def is_right(self, row: Row, text: str) -> bool:
        """It lists n different words of the kind and fulfils the constraint."""
        words = split_list(row, text)
        if len(words) != row["n"] or len(set(words)) != row["n"] or not set(words) <= set(WORDS[row["kind"]]):
            return False
        fulfils = {
            "count": True,
            "begin": words[0] == row["word"],
            "end": words[-1] == row["word"],
            "without": row["word"] not in words,
            "joined": text.count(" and ") == row["n"] - 1 and "," not in text,
        }
        return bool(fulfils[row["order"]])

    def is_well_formed(self, row: Row, text: str) -> bool:
        words = split_list(row, text)
        return bool(words) and set(words) <= set(WORDS[row["kind"]])
