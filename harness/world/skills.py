"""The six skills under the study's names."""

from __future__ import annotations

import random
from typing import Protocol

from harness.world.code import Coding
from harness.world.facts import Factuality
from harness.world.harm import Safety
from harness.world.myths import Truthfulness
from harness.world.orders import InstructionFollowing
from harness.world.sums import Reasoning
from harness.world.words import Row


class Skill(Protocol):
    """What a skill's module defines: its questions, two ways to answer them, and the rules by which answers are rated."""

    @property
    def questions(self) -> tuple[Row, ...]:
        """Every question that the skill can ask, once, in a fixed order."""

    def good_answer(self, row: Row, source: random.Random) -> str:
        """An answer that is right and well formed."""

    def bad_answer(self, row: Row, source: random.Random) -> str:
        """A typical wrong answer; by chance it may be right."""

    def is_right(self, row: Row, text: str) -> bool: ...

    def is_well_formed(self, row: Row, text: str) -> bool:
        """Is it an answer of the requested kind, right or wrong?"""


SKILLS: dict[str, Skill] = {
    "factuality": Factuality(),
    "reasoning": Reasoning(),
    "coding": Coding(),
    "truthfulness": Truthfulness(),
    "safety": Safety(),
    "instruction following": InstructionFollowing(),
}
# Real SFT data are of mixed quality too, and leave something for preference tuning to improve.
GOOD_ANSWER_SHARE = {
    "factuality": 0.45,
    "reasoning": 0.42,
    "coding": 0.45,
    "truthfulness": 0.48,
    "safety": 0.46,
    "instruction following": 0.40,
}
