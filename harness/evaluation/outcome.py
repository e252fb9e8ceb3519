"""What became of a cell, and what is called as a run goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Outcome:
    """What became of a cell."""

    checkpoint: str
    task: str
    state: Literal["done", "already", "failed"]
    samples: int = 0
    unscored: int = 0
    why: str = ""
    seconds: float = 0.0


class Progress(Protocol):
    """Is called as a run goes on."""

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None: ...
    def advance(self) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


class SilentProgress:
    """Shows nothing."""

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None: ...
    def advance(self) -> None: ...
    def end(self, outcome: Outcome) -> None: ...
