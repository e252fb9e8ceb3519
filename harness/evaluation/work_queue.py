"""The unit of work that devices, clusters and plans share, and the order in which workers take units.

A worker keeps to one checkpoint while that has units: its model is loaded once.  One that is free otherwise takes a checkpoint
that nobody is at, and helps with the one that has most units left where there is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True, order=True)
class WorkUnit:
    """A checkpoint on a task, by their places in the run: a shard of its items, or (by default) all of them."""

    checkpoint: int
    task: int
    shard: int = 0


class HasCheckpoint(Protocol):
    """Anything that is about one checkpoint."""

    @property
    def checkpoint(self) -> int: ...


U = TypeVar("U", bound=HasCheckpoint)


class WorkQueue(Generic[U]):
    """The units that no worker has begun, in the order of a run on one device."""

    def __init__(self, units: Iterable[U] = ()) -> None:
        self.by_checkpoint: dict[int, deque[U]] = {}
        self.last_checkpoint: dict[str, int] = {}  # by worker
        for unit in units:
            self.add(unit)

    def __len__(self) -> int:
        return sum(map(len, self.by_checkpoint.values()))

    def __iter__(self) -> Iterator[U]:
        return (unit for units in self.by_checkpoint.values() for unit in units)

    def add(self, unit: U, first: bool = False) -> None:
        """Adds a unit behind the others of its checkpoint, or before them."""
        units = self.by_checkpoint.setdefault(unit.checkpoint, deque())
        (units.appendleft if first else units.append)(unit)

    def next(self, worker: str, refused: Collection[int] = ()) -> U | None:
        """The next unit for a worker, of no checkpoint in `refused`; None where nothing is left for it."""
        left = [checkpoint for checkpoint in self.by_checkpoint if checkpoint not in refused]
        if not left:
            return None
        own, busy = self.last_checkpoint.get(worker), set(self.last_checkpoint.values())
        if own not in left:
            free = next((checkpoint for checkpoint in left if checkpoint not in busy), None)
            own = free if free is not None else max(left, key=lambda checkpoint: len(self.by_checkpoint[checkpoint]))
        units = self.by_checkpoint[own]
        unit = units.popleft()
        if not units:
            del self.by_checkpoint[own]
        self.last_checkpoint[worker] = own
        return unit

    def forget(self, worker: str) -> None:
        """The worker holds no checkpoint any more."""
        self.last_checkpoint.pop(worker, None)

    def remove(self, unit: U) -> None:
        """Takes out a unit that is in the queue."""
        units = self.by_checkpoint[unit.checkpoint]
        units.remove(unit)
        if not units:
            del self.by_checkpoint[unit.checkpoint]
