"""One model on one task, as another program logged it: what becomes a cell of a results folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.interchange.benchmarks import find_skill
from harness.json_values import storable
from harness.records import Inputs, RequestKind, TaskRecord
from harness.types import Aggregate, Example, Json, Metric, Sample, digest

UNKNOWN = "unknown"  # what a log does not say: the same only as the unknown of the same program's other logs


@dataclass(frozen=True)
class ImportedLog:
    """Scores as they were given, with what the log says of how they were made."""

    model: str  # as logged
    task: TaskRecord
    inputs: Inputs
    backend: Json  # the program, its version, and every setting that can move an answer
    samples: Sequence[Sample]
    rows: Mapping[str, Json] = field(default_factory=dict)  # by example: for people who read samples
    note: str = ""  # what was left out, in words
    source: Json = field(default_factory=dict)  # the task, filter and metric by the program's own names
    members: Sequence[str] = ()  # of a group, by the program's own names


@dataclass(frozen=True)
class RefusedLog:
    """A task in a log that cannot become a cell, and why."""

    model: str
    task: str
    why: str
    is_missing: bool = False  # the scores exist, and cannot be read: a gate must not pass as if nobody had asked


class ExampleRows:
    """Rows of one task by the ids that a results folder gives them; rows of the same content are numbered."""

    def __init__(self) -> None:
        self.by_id: dict[str, Json] = {}
        self.copies: dict[str, int] = {}

    def add(self, row: Json) -> str:
        """The example's id."""
        content = storable(row)
        key = digest(content)
        copy = self.copies.get(key, 0)
        self.copies[key] = copy + 1
        example_id = Example(content, copy).id
        self.by_id[example_id] = content
        return example_id


def describe_task(
    name: str, version: object, source: str, summary: str = "", metrics: Sequence[Metric] = (), aggregate: Aggregate = "mean"
) -> TaskRecord:
    """What the results tell of the task.  No log says what chance gives: 0."""
    skill = find_skill(name.rpartition(":")[2])
    return TaskRecord(
        name=name, skill=skill, version=version, source=source, aggregate=aggregate, summary=summary, metrics=tuple(metrics)
    )


def describe_inputs(samples: Sequence[Sample], prompts: Mapping[str, str] | None, settings: Json) -> Inputs:
    """What the results tell of the questions.  `prompts`: by example, the hash of everything that it was shown; None: unknown.

    Logs list examples in any order, so none is part of the hashes.
    """
    examples = sorted({s.example for s in samples})
    prompts_hash = UNKNOWN if prompts is None else digest(sorted(prompts.items()))
    draws = max((s.draw for s in samples), default=0) + 1
    kind: RequestKind = "loglikelihood" if any(s.response.logprobs for s in samples) else "generate"
    return Inputs(
        data=digest(examples), prompts=prompts_hash, examples=len(examples), draws=draws, kind=kind, settings=storable(settings)
    )
