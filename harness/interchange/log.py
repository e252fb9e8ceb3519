"""One model on one task, as another program logged it: what becomes a cell of a results folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.interchange.names import skill
from harness.interchange.reading import plain
from harness.types import Aggregate, Example, Json, Metric, Sample, digest

UNKNOWN = "unknown"  # what a log does not say: the same only as the unknown of the same program's other logs


@dataclass(frozen=True)
class Log:
    """Scores as they were given, with what the log says of how they were made."""

    model: str  # as logged
    task: Json  # as in task.json, see `task`
    asked: Json  # see `asked`
    answered: Json  # the program, its version, and every setting that can move an answer
    samples: Sequence[Sample]
    rows: Mapping[str, Json] = field(default_factory=dict)  # by example: for people who read samples
    note: str = ""  # what was left out, in words
    source: Json = field(default_factory=dict)  # the task, filter and metric by the program's own names


@dataclass(frozen=True)
class Refused:
    """A task in a log that cannot become a cell, and why."""

    model: str
    task: str
    why: str


class Rows:
    """Rows of one task by the ids that a results folder gives them; rows of the same content are numbered."""

    def __init__(self) -> None:
        self.kept: dict[str, Json] = {}
        self.copies: dict[str, int] = {}

    def add(self, row: Json) -> str:
        """The example's id."""
        ready = plain(row)
        key = digest(ready)
        copy = self.copies.get(key, 0)
        self.copies[key] = copy + 1
        identity = Example(ready, copy).id
        self.kept[identity] = ready
        return identity


def task(
    name: str, version: object, source: str, summary: str = "", metrics: Sequence[Metric] = (), aggregate: Aggregate = "mean"
) -> dict[str, Any]:
    """task.json's part about the task.  No log says what chance gives: 0."""
    return {
        "name": name,
        "skill": skill(name.rpartition(":")[2]),
        "version": version,
        "source": source,
        "aggregate": aggregate,
        "positive": "",
        "chance": 0.0,
        "summary": summary,
        "metrics": [asdict(m) for m in metrics],
    }


def asked(samples: Sequence[Sample], prompts: Mapping[str, str] | None, settings: Json) -> dict[str, Any]:
    """task.json's part about what was asked.  `prompts`: by example, the hash of everything that it was shown; None: unknown.

    Logs list examples in any order, so none is part of the hashes.
    """
    examples = sorted({s.example for s in samples})
    weighed = any(s.response.logprobs for s in samples)
    return {
        "data": digest(examples),
        "prompts": UNKNOWN if prompts is None else digest(sorted(prompts.items())),
        "examples": len(examples),
        "draws": max((s.draw for s in samples), default=0) + 1,
        "kind": "weigh" if weighed else "continue",
        "settings": plain(settings),
    }
