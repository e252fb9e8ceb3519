"""What became of a cell, and what is called as a run goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


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


@dataclass
class Overview:
    """How far a run has come whose cells are worked on side by side."""

    cells: int
    finished_cells: int = 0
    questions: int = 0  # of the cells that were begun, without those that were stored before
    answers: int = 0
    tokens: int = 0
    workers: int = 0
    size: int = 0
    losses: int = 0


class Progress(Protocol):
    """Is called as a run goes on."""

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None: ...
    def advance(self) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


@runtime_checkable
class OverviewListener(Protocol):
    """A Progress for many cells at once, which shows the whole run."""

    def overview(self, state: Overview) -> None: ...

    def remark(self, text: str) -> None:
        """Something that the user should know at once, such as a lost worker."""
        ...


@runtime_checkable
class LoadingListener(Protocol):
    """A Progress that is also called before a checkpoint is loaded."""

    def loading(self, checkpoint: str) -> None: ...


class SilentProgress:
    """Shows nothing."""

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None: ...
    def advance(self) -> None: ...
    def end(self, outcome: Outcome) -> None: ...
