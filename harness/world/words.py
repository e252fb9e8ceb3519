"""The names of the world, and how questions are divided.  All of it follows from the one seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from harness.types import digest

Row = Mapping[str, Any]
Split = Literal["train", "validation", "test"]
SEED = 2406
SYLLABLES = ("ba", "ko", "mi", "ru", "ze", "la", "to", "vi", "na", "du", "pe", "so", "gi", "fa", "lu", "ne")


def names(count: int, salt: str, parts: int = 2) -> tuple[str, ...]:
    """Made-up names that begin with a capital, each once."""
    source = random.Random(f"{SEED} {salt}")
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(source.choice(SYLLABLES) for _ in range(parts)).capitalize()] = None
    return tuple(found)


def split(filling: Any, test: int = 3, validation: int = 1) -> Split:
    """Where a filling of a template belongs, by its hash: `test` and `validation` tenths, the rest is for training."""
    tenth = int(digest(filling), 16) % 10
    return "test" if tenth < test else "validation" if tenth < test + validation else "train"


def of(items: Iterable[Row], wanted: Split) -> list[Row]:
    return [item for item in items if item["split"] == wanted]


def plain(text: str) -> str:
    """Words in lower case, without marks: how answers are compared."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
