"""Reasoning: word problems of two or three steps, answered with worked steps."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cached_property

from harness.world.words import SEED, Row, assign_split, word_question

PEOPLE = ("Ann", "Ben", "Cara", "Dan", "Eva", "Finn", "Gina", "Hugo")
THINGS = ("apples", "pens", "coins", "cards", "eggs", "shells")
GAIN_VERBS, LOSS_VERBS = ("finds", "buys", "gets"), ("eats", "loses", "sells")
MAX_NUMBER = 20


def make_problems(count: int) -> Iterator[Row]:
    """Problems whose numbers stay between 0 and 20."""
    source = random.Random(f"{SEED} sums")
    prompts: set[str] = set()
    while len(prompts) < count:
        person, thing, total = source.choice(PEOPLE), source.choice(THINGS), source.randint(2, 12)
        numbers, story, steps = [total], f"{person} has {total} {thing}.", []
        for _ in range(source.choice((2, 2, 3))):
            up = total < 3 or (total < MAX_NUMBER - 2 and source.random() < 0.5)
            change = source.randint(1, min(9, MAX_NUMBER - total if up else total - 1))
            story += f" {person} {source.choice(GAIN_VERBS if up else LOSS_VERBS)} {change}."
            numbers.append(change if up else -change)
            steps.append(f"{total} {'+' if up else '-'} {change} = {total + numbers[-1]}.")
            total += numbers[-1]
        prompt = f"{story} How many {thing} does {person} have?"
        if prompt in prompts:
            continue
        prompts.add(prompt)
        facts = {"steps": " ".join(steps), "answer": total}
        yield from word_question("reasoning", [prompt], facts, prompt, assign_split(numbers))


class Reasoning:
    """Word problems; an answer is right where its last `answer is N` is the result."""

    @cached_property
    def questions(self) -> tuple[Row, ...]:
        return tuple(make_problems(6000))

    def good_answer(self, row: Row, source: random.Random) -> str:
        return f"{row['steps']} The answer is {row['answer']}."

    def bad_answer(self, row: Row, source: random.Random) -> str:
        """A guess near the answer, without steps."""
        return f"The answer is {max(0, row['answer'] + source.choice(range(-4, 5)))}."

    def is_right(self, row: Row, text: str) -> bool:
        answers = re.findall(r"answer is (\d+)", text)
        return bool(answers) and int(answers[-1]) == row["answer"]

    def is_well_formed(self, row: Row, text: str) -> bool:
        """It shows steps and has an answer."""
        return "=" in text and "answer is" in text
