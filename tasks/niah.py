"""Needle in a haystack: a number at a known depth of a long text that is made on the spot (RULER, arXiv 2404.06654)."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from harness.types import Example, Json, Metric, Request, Response, Score, Task

LENGTHS = (1000, 2000, 4000, 8000)  # tokens, about: a task knows no tokenizer
LONG = (16_000, 32_000, 64_000, 128_000)
DEPTHS = (0, 25, 50, 75, 100)  # percent of the text that stands before the needle
REPEATS = 10  # texts of each length and depth
CHARACTERS = 5  # a token of these sentences
DISTRACTORS = 3  # needles of other names, in the task with several keys

# RULER's needle, template and beginning of the answer.
NEEDLE = "One of the special magic numbers for {key} is: {value}."
TEMPLATE = (
    "A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you about the number "
    "afterwards.\n{text}\nWhat is the special magic number for {key} mentioned in the provided text?"
)
PREFIX = "The special magic number for {key} mentioned in the provided text is"
NUMBER = re.compile(r"\d[\d,]*\d|\d")
DIGITS = 7

ADJECTIVES = ("amber", "brisk", "calm", "dusty", "eager", "frosty", "gentle", "hollow", "icy", "jolly", "keen", "lofty")
NOUNS = ("anchor", "beacon", "canyon", "dynamo", "ember", "falcon", "garden", "harbor", "island", "jacket", "kettle", "lamp")
# The haystack: sentences without a digit, of these parts.
SUBJECTS = ("The baker", "A young sailor", "My neighbour", "The old clock maker", "Nobody in the village", "The night train")
VERBS = ("remembered", "had painted", "was looking for", "never mentioned", "carried home", "wrote long letters about")
OBJECTS = ("the blue door", "a basket of plums", "the last winter", "an unfinished map", "the river crossing", "a violin")
PLACES = ("before the rain came", "while the market was closing", "behind the tall hedge", "on the way to the coast")


def rows(folder: Path | None, lengths: Sequence[int], depths: Sequence[int] = DEPTHS, distractors: int = 0) -> list[Json]:
    """Rows {length, depth, number, key, value, others}; `folder` has no effect.  The text is made when it is asked."""
    return [make_row(length, depth, number, distractors) for length in lengths for depth in depths for number in range(REPEATS)]


def make_row(length: int, depth: int, number: int, distractors: int) -> Json:
    source = random.Random(f"{length} {depth} {number} {distractors}")
    keys = source.sample([f"{adjective}-{noun}" for adjective in ADJECTIVES for noun in NOUNS], distractors + 1)
    values = source.sample(range(10 ** (DIGITS - 1), 10**DIGITS), distractors + 1)
    others = [[key, str(value)] for key, value in zip(keys[1:], values[1:], strict=True)]
    row = {"length": length, "depth": depth, "number": number, "key": keys[0], "value": str(values[0])}
    return row | {"others": others}


def make_text(row: Json) -> str:
    """The haystack with its needles; those of other keys stand anywhere."""
    source = random.Random(f"text {row['length']} {row['depth']} {row['number']} {len(row['others'])}")
    sentences, room = [], row["length"] * CHARACTERS
    while room > 0:
        parts = (source.choice(words) for words in (SUBJECTS, VERBS, OBJECTS, PLACES))
        sentences.append(" ".join(parts) + ".")
        room -= len(sentences[-1]) + 1
    place = round(len(sentences) * row["depth"] / 100)
    needle = NEEDLE.format(key=row["key"], value=row["value"])
    before, after = sentences[:place], sentences[place:]
    for key, value in row["others"]:
        side = source.choice([part for part in (before, after) if part])
        side.insert(source.randrange(len(side)), NEEDLE.format(key=key, value=value))
    return " ".join([*before, needle, *after])


def ask(example: Example) -> Request:
    row = example.row
    prompt = TEMPLATE.format(text=make_text(row), key=row["key"])
    return Request(prompt, prefix=PREFIX.format(key=row["key"]), max_tokens=48, stop=("\n",))


def score(example: Example, response: Response) -> Score:
    """1 if the response has the number and no other of as many digits.  RULER's rule is `contained`: it stands there."""
    numbers = [number.replace(",", "") for number in NUMBER.findall(response.text)]
    candidates = {number for number in numbers if len(number) >= DIGITS}
    value = str(example.row["value"])
    parts = {"contained": float(value in response.text), f"depth_{example.row['depth']}": float(candidates == {value})}
    return Score(float(candidates == {value}), extracted=", ".join(sorted(candidates)), parts=parts)


def ideal(example: Example) -> Response:
    return Response(f" {example.row['value']}.")


def make_task(name: str, lengths: Sequence[int], depths: Sequence[int] = DEPTHS, distractors: int = 0) -> Task:
    """A task of other lengths (tokens, about), depths (percent) or number of distractors; for one's own task file."""
    spans = f"{lengths[0]} tokens" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]} tokens"
    return Task(
        name=name,
        skill="long context",
        version=1,
        source="Hsieh et al. 2024 (RULER), niah; the haystack is made on the spot",
        rows=partial(rows, lengths=tuple(lengths), depths=tuple(depths), distractors=distractors),
        ask=ask,
        score=score,
        ideal=ideal,
        group=lambda example: str(example.row["length"]),
        aggregate="macro",
        metrics=(
            *(Metric(f"depth {depth} %", part=f"depth_{depth}") for depth in depths),
            Metric("contained", part="contained"),
        ),
        summary=f"a number hidden in {spans} of filler at {len(depths)} depths"
        + (f", with {distractors} others that are not asked for" if distractors else ""),
    )


TASKS = (
    make_task("niah", LENGTHS),
    make_task("niah_keys", LENGTHS, distractors=DISTRACTORS),
    *(make_task(f"niah_{length // 1000}k", (length,)) for length in LONG),
)
