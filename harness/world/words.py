"""The names of the world and the split of its questions.  All of it follows from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from harness.types import digest

Row = Mapping[str, Any]
Split = Literal["train", "validation", "test"]
SEED = 2406
NAMES = 28  # of each kind of thing
SYLLABLES = ("ba", "ko", "mi", "ru", "ze", "la", "to", "vi", "na", "du", "pe", "so", "gi", "fa", "lu", "ne")


def make_names(salt: str) -> tuple[str, ...]:
    """NAMES made-up names of two syllables that begin with a capital, each once."""
    source = random.Random(f"{SEED} {salt}")
    unique_names: dict[str, None] = {}
    while len(unique_names) < NAMES:
        unique_names["".join(source.choice(SYLLABLES) for _ in range(2)).capitalize()] = None
    return tuple(unique_names)


def assign_split(filling: Any, test: int = 3) -> Split:
    """The split of a template's filling, by its hash: `test` tenths, one tenth for validation, and the rest for training."""
    tenth = int(digest(filling), 16) % 10
    return "test" if tenth < test else "validation" if tenth < test + 1 else "train"


def questions_of_split(questions: Iterable[Row], split: Split) -> list[Row]:
    return [question for question in questions if question["split"] == split]


def word_question(skill: str, prompts: Iterable[str], facts: Row, cluster: str, split: Split) -> Iterator[Row]:
    """A row for each wording of one question; rows of a `cluster` are not independent."""
    return ({"skill": skill, "prompt": prompt, **facts, "cluster": cluster, "split": split} for prompt in prompts)


def normalize_words(text: str) -> str:
    """Words in lower case without punctuation, as answers are compared."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
