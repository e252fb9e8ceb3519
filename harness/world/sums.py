"""Reasoning: word problems of two or three steps, answered with worked steps."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache

from harness.world.words import SEED, Row, split

PEOPLE = ("Ann", "Ben", "Cara", "Dan", "Eva", "Finn", "Gina", "Hugo")
THINGS = ("apples", "pens", "coins", "cards", "eggs", "shells")
MORE, LESS = ("finds", "buys", "gets"), ("eats", "loses", "sells")
MOST = 20


def problems(count: int) -> Iterator[Row]:
    """Problems whose numbers stay between 0 and 20."""
    source = random.Random(f"{SEED} sums")
    seen: set[str] = set()
    while len(seen) < count:
        person, thing, total = source.choice(PEOPLE), source.choice(THINGS), source.randint(2, 12)
        numbers, story, steps = [total], f"{person} has {total} {thing}.", []
        for _ in range(source.choice((2, 2, 3))):
            up = total < 3 or (total < MOST - 2 and source.random() < 0.5)
            change = source.randint(1, min(9, MOST - total if up else total - 1))
            story += f" {person} {source.choice(MORE if up else LESS)} {change}."
            steps.append(f"{total} {'+' if up else '-'} {change} = {total + (change if up else -change)}.")
            total += change if up else -change
            numbers.append(change if up else -change)
        prompt = f"{story} How many {thing} does {person} have?"
        if prompt in seen:
            continue
        seen.add(prompt)
        yield {
            "skill": "reasoning",
            "prompt": prompt,
            "steps": " ".join(steps),
            "answer": total,
            "cluster": prompt,
            "split": split(numbers),
        }


@cache
def items() -> tuple[Row, ...]:
    """Every question, once."""
    return tuple(problems(6000))


def good(row: Row, source: random.Random) -> str:
    return f"{row['steps']} The answer is {row['answer']}."


def bad(row: Row, source: random.Random) -> str:
    """The answer at once, by guess."""
    guess = max(0, row["answer"] + source.choice((-4, -3, -2, -1, 0, 1, 2, 3, 4)))
    return f"The answer is {guess}."


def right(row: Row, text: str) -> bool:
    found = re.findall(r"answer is (\d+)", text)
    return bool(found) and int(found[-1]) == row["answer"]


def formed(row: Row, text: str) -> bool:
    """Steps are shown, and there is an answer."""
    return "=" in text and "answer is" in text
