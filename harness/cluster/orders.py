"""What travels between the process that stores results and a worker on another machine: plain data, nothing else."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.types import Checkpoint, Json, Response


@dataclass(frozen=True)
class Order:
    """What a worker is to do with one checkpoint and one task's requests.

    `places`: the requests to answer, by their places in the task's list, in one block; None: describe the model for all.
    `settings`: of the answers that the cell holds already; {}: any.  `folders`: what the sender sees as folders or files.
    """

    checkpoint: Checkpoint
    fingerprint: Mapping[str, str]
    folders: tuple[str, ...] = ()
    places: tuple[int, ...] | None = None
    settings: Json = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFacts:
    """What a worker's model is, and what it says of a task's requests (see Model, SupportsRender, SupportsPreflight)."""

    block: int
    settings: Json
    prompt_hash: str = ""
    unsupported_reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class AnswerBatch:
    """Responses, with the places of their requests in the order's block."""

    responses: tuple[tuple[int, Response], ...]


@dataclass(frozen=True)
class OrderEnd:
    """The order is carried out, in so many seconds; `note`: what the user should know about the answers."""

    note: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Unfit:
    """This worker cannot take the checkpoint, as another one may: it does not see its files, or would answer otherwise."""

    reason: str


@dataclass(frozen=True)
class Failure:
    """The model or its loading failed.  `trace`: the traceback of an error that is none of the user's; else ""."""

    reason: str
    trace: str = ""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """An error that is none of the user's, with its traceback."""
        return cls(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


Reply = ModelFacts | AnswerBatch | OrderEnd | Unfit | Failure
LAST_REPLIES = (OrderEnd, Unfit, Failure)  # of these each order has one


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker says of itself: its machine, and the hash of the program's code there."""

    machine: str
    code: str
    versions: str


def local_folders(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What a checkpoint is loaded from, as far as this machine sees it as folders or files; the rest is the Hub's."""
    places = (checkpoint.path, checkpoint.base, *checkpoint.adapters, checkpoint.tokenizer)
    return tuple(dict.fromkeys(place for place in places if place and Path(place).exists()))
