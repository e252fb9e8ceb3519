"""The six skills under the study's names."""

from __future__ import annotations

import random
from typing import Protocol

from harness.world import code, facts, harm, myths, orders, sums
from harness.world.words import Row, Split, of


class Skill(Protocol):
    """What a skill module has."""

    def items(self) -> tuple[Row, ...]: ...
    def good(self, row: Row, source: random.Random) -> str: ...
    def bad(self, row: Row, source: random.Random) -> str: ...
    def right(self, row: Row, text: str) -> bool: ...
    def formed(self, row: Row, text: str) -> bool: ...


SKILLS: dict[str, Skill] = {
    "factuality": facts,
    "reasoning": sums,
    "coding": code,
    "truthfulness": myths,
    "safety": harm,
    "instruction following": orders,
}
# How often the SFT answers of a skill are good ones: real SFT data are mixed too, and leave something to be learnt.
GOOD = {
    "factuality": 0.45,
    "reasoning": 0.42,
    "coding": 0.45,
    "truthfulness": 0.48,
    "safety": 0.46,
    "instruction following": 0.40,
}


def rows(skill: str, wanted: Split, count: int, salt: str = "") -> list[Row]:
    """`count` questions of a split, drawn by the salt; all of them, shuffled, where there are fewer."""
    found = of(SKILLS[skill].items(), wanted)
    random.Random(f"{skill} {wanted} {salt}").shuffle(found)
    return found[:count]
