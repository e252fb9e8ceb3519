"""A model that other machines hold, as a Model of this one: cells are scored and stored as if it answered here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from harness.cluster.host_pool import HostPool
from harness.cluster.hosts import Job
from harness.cluster.orders import AnswerBatch, Failure, ModelFacts, Order, OrderEnd, Reply, local_folders
from harness.evaluation.work_queue import WorkUnit
from harness.types import Checkpoint, Request, Response, SkilldeltaError

if TYPE_CHECKING:
    from harness.types import Json


class RunOverError(BaseException):
    """The run was interrupted.  No Exception: the cell that waits is not failed, but goes on with the next run."""


class RemoteError(Exception):
    """An error on another machine that is none of the user's; its cause holds the trace."""


class RemoteTraceError(Exception):
    """The traceback of an error on another machine."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class SharedRequests:
    """A task's requests as workers get them, and each request's place among them, by its id."""

    reference: object
    places: Mapping[str, int]


@dataclass(frozen=True)
class ModelPlace:
    """Where a model is asked for: the cell, and the worker that is to hold its checkpoint."""

    home: str
    unit: WorkUnit


class RemoteModel:
    """A checkpoint on one task, whose blocks any workers answer.  SkilldeltaError or RemoteError where it cannot be loaded."""

    def __init__(self, pool: HostPool, place: ModelPlace, order: Order, requests: SharedRequests) -> None:
        self.pool, self.place, self.order, self.requests = pool, place, order, requests
        self.device_seconds = 0.0
        facts = self.ask_facts()
        self.block, self.settings, self.note = facts.block, facts.settings, facts.note
        self.facts = facts

    def ask_facts(self) -> ModelFacts:
        replies: SimpleQueue[tuple[WorkUnit, Reply | None]] = SimpleQueue()
        self.pool.submit(Job(self.place.home, self.place.unit, self.order, self.requests.reference, replies), first=True)
        facts = None
        while not isinstance(reply := check_reply(replies.get()[1]), OrderEnd):
            facts = reply if isinstance(reply, ModelFacts) else facts
        self.device_seconds += reply.seconds
        assert facts is not None, "a worker's model is described before the order ends"
        return facts

    def rendered_hash(self, requests: Sequence[Request]) -> str:
        return self.facts.prompt_hash

    def unsupported_reason(self, requests: Sequence[Request]) -> str:
        return self.facts.unsupported_reason

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        return ((index, response) for _, index, response in self.answer_blocks([requests]))

    def answer_blocks(self, blocks: Sequence[Sequence[Request]]) -> Iterator[tuple[int, int, Response]]:
        """Each response once, with the places of its block and its request.

        The block of a lost worker is asked again as a whole: its batches, and so its answers, are those of an undisturbed run.
        """
        replies: SimpleQueue[tuple[WorkUnit, Reply | None]] = SimpleQueue()
        jobs = []
        for number, block in enumerate(blocks):
            places = tuple(self.requests.places[request.id] for request in block)
            order, unit = replace(self.order, places=places, settings=self.settings), replace(self.place.unit, shard=number)
            jobs.append(Job(self.place.home, unit, order, self.requests.reference, replies))
        for job in jobs:
            self.pool.submit(job)
        places_so_far: set[tuple[int, int]] = set()
        left = set(range(len(blocks)))
        try:
            while left:
                unit, message = replies.get()
                reply = check_reply(message)
                if isinstance(reply, OrderEnd):
                    count = sum((unit.shard, index) in places_so_far for index in range(len(blocks[unit.shard])))
                    if count != len(blocks[unit.shard]):
                        raise RemoteError(f"{count} of {len(blocks[unit.shard])} answers of a block came from a worker")
                    left.discard(unit.shard)
                    self.note = reply.note or self.note
                    self.device_seconds += reply.seconds
                elif isinstance(reply, AnswerBatch):
                    for index, response in reply.responses:
                        if (unit.shard, index) not in places_so_far:
                            places_so_far.add((unit.shard, index))
                            yield unit.shard, index, response
        finally:
            if left:
                self.pool.withdraw(jobs)


def check_reply(reply: Reply | None) -> Reply:
    """The reply; its error, where it is one."""
    if reply is None:
        raise RunOverError
    if isinstance(reply, Failure) and reply.trace:
        raise RemoteError(reply.reason) from RemoteTraceError(reply.trace)
    if isinstance(reply, Failure):
        raise SkilldeltaError(reply.reason)
    return reply


def order_for(checkpoint: Checkpoint, fingerprint: Json) -> Order:
    """What every order about a checkpoint says of it."""
    return Order(checkpoint, dict(fingerprint), local_folders(checkpoint))
