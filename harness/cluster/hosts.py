"""What a worker is to the process that stores: something that carries out jobs, and may be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from harness.cluster.orders import Order, Reply
from harness.evaluation.work_queue import WorkUnit


class HostLostError(Exception):
    """A worker, or its machine, is gone."""


class Host(Protocol):
    """A worker at work.  `machine`: where."""

    machine: str

    def work(self, order: Order, requests: object) -> Iterator[Reply]:
        """The replies to an order, OrderEnd or Failure or Unfit last.  HostLostError where the worker is lost."""
        ...

    def stop(self) -> None:
        """Ends it, whatever it is at: who waits for its replies gets HostLostError."""
        ...


class HostStarter(Protocol):
    """Starts workers on a cluster."""

    def start(self, is_over: Callable[[], bool]) -> Host:
        """A new worker; waits for it until `is_over`.

        HostLostError where it was lost as it started, SkilldeltaError where no worker can ever be started so.
        """
        ...

    def share(self, requests: object) -> object:
        """Requests as workers get them: sent once to each machine."""
        ...


@dataclass(eq=False)
class Job:
    """A unit of work with its order; `replies` takes (unit, reply), and (unit, None) where the run is over."""

    home: str
    unit: WorkUnit
    order: Order
    requests: object
    replies: SimpleQueue[tuple[WorkUnit, Reply | None]]
    losses: int = 0

    @property
    def checkpoint(self) -> int:
        return self.unit.checkpoint
