"""Items grouped by a key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Key = TypeVar("Key")
NaturalKey = list[tuple[int, str]]


def group_by(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items of each key; keys and items keep their order."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def natural_key(name: str) -> NaturalKey:
    """A key that sorts the numbers in names as numbers: checkpoint-200 before checkpoint-1000."""
    return [(int(part), "") if part.isdecimal() and len(part) < 1000 else (-1, part) for part in re.split(r"(\d+)", name)]


def run_order(run: str, step: int | None, name: str) -> tuple[NaturalKey, bool, int, NaturalKey]:
    """A key that sorts checkpoints by run, step and name; a run's final model (no step) comes after its numbered ones."""
    return natural_key(run), step is None, step or 0, natural_key(name)
