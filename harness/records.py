"""What the results folder's JSON files say, as frozen data: task.json and checkpoint.json.  Their keys are written here alone.

Files of older versions have some other keys (FORMER) and values (KINDS): they are read all the same.  Keys that are not known
here are kept in `extra`, and written back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from harness.bounded_files import read_stored_json
from harness.differences import changed_parts, differences
from harness.json_values import plain
from harness.noise import Noise
from harness.redaction import redact_settings
from harness.typed_fields import check_fields
from harness.types import Aggregate, Checkpoint, Json, Metric, SkilldeltaError

State = Literal["running", "done", "decided", "failed", "not comparable"]  # the last: imported, without a score an item
RequestKind = Literal["loglikelihood", "generate"]
KINDS: Mapping[str, RequestKind] = {"weigh": "loglikelihood", "continue": "generate"}  # older values of `kind`
D = TypeVar("D")
R = TypeVar("R", bound="Record")
MAX_METRICS = 1_000  # of a task, each with intervals of its own: benchmarks have up to a hundred
RAW = "raw"  # backend.template where no prompt was rendered by a template


# Fields that older files lack: they are left out where they have their default, so that equal facts stay equal.
LATER_FIELDS: Mapping[type, tuple[str, ...]] = {
    Metric: ("warn_above", "warn_below", "warning"),
    Noise: ("plain", "ours"),
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """A JSON object with known keys: the names of the fields.  `extra` holds the others."""

    FORMER: ClassVar[Mapping[str, str]] = {}  # keys of older files, with the field's name now
    SPARSE: ClassVar[tuple[str, ...]] = ()  # fields that are left out of the file where they have their default

    extra: Json = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Json) -> Self:
        """The record in a JSON object.  SkilldeltaError where it is no object, lacks a key, or has one of another type."""
        if not isinstance(content, Mapping):
            raise SkilldeltaError(f"{cls.__name__} must be a JSON object, not {type(content).__name__}.")
        current = {cls.FORMER.get(key, key): value for key, value in content.items()}
        names = {each.name for each in fields(cls)} - {"extra"}
        values = check_fields(cls, {name: cls.parse(name, value) for name, value in current.items() if name in names})
        try:
            return cls(**values, extra={name: value for name, value in current.items() if name not in names})
        except TypeError as error:
            raise SkilldeltaError(f"{cls.__name__} cannot be read: {error}.") from error

    @classmethod
    def parse(cls, name: str, value: Any) -> Any:
        """A field's value from its JSON."""
        return value

    def to_json(self) -> dict[str, Any]:
        """The JSON object; from_json() gives an equal record."""
        content = dict(self.extra)
        for each in fields(self):
            value = getattr(self, each.name)
            default = each.default_factory() if callable(each.default_factory) else each.default
            if each.name != "extra" and (each.name not in self.SPARSE or value != default):
                content[each.name] = plain(value, LATER_FIELDS)
        return content


def build_plain(kind: type[D], content: Json) -> D:
    """A dataclass without `extra` from its JSON; keys that it does not have are passed over.  SkilldeltaError as above."""
    if not isinstance(content, Mapping):
        raise SkilldeltaError(f"{kind.__name__} must be a JSON object, not {type(content).__name__}.")
    values = {each.name: content[each.name] for each in fields(kind) if each.name in content}  # type: ignore[arg-type]
    return kind(**check_fields(kind, values))


@dataclass(frozen=True, kw_only=True)
class TaskRecord(Record):
    """What a score of a task means: `task` in task.json.  `version` is a number; in other programs' logs, anything."""

    FORMER: ClassVar[Mapping[str, str]] = {"beside": "variant_of"}
    SPARSE = ("judge", "pass_at", "variant_of")

    name: str
    skill: str
    version: Any = 0
    source: str = ""
    aggregate: Aggregate = "mean"
    positive: str = ""
    chance: float = 0.0
    summary: str = ""
    metrics: tuple[Metric, ...] = ()
    judge: str | None = None  # what graded the responses, "" for nothing yet; None: rules score this task
    pass_at: int = 0
    variant_of: str = ""  # the task that this one reads otherwise: shown, and never averaged with it

    @classmethod
    def parse(cls, name: str, value: Any) -> Any:
        if name == "metrics" and len(value) > MAX_METRICS:
            raise SkilldeltaError(f"it names {len(value):,} metrics, of which {MAX_METRICS:,} at most are compared.")
        return tuple(build_plain(Metric, metric) for metric in value) if name == "metrics" else value


@dataclass(frozen=True, kw_only=True)
class Inputs(Record):
    """What a model was asked: `inputs` in task.json.  `data` and `prompts` are hashes."""

    data: str = ""
    prompts: str = ""
    examples: int = 0
    draws: int = 1
    kind: RequestKind = "generate"
    settings: Json = field(default_factory=dict)  # of generation

    @classmethod
    def parse(cls, name: str, value: Any) -> Any:
        return KINDS.get(value, value) if name == "kind" else value


@dataclass(frozen=True, kw_only=True)
class SequentialVerdict(Record):
    """How a task ended that was stopped when it was decided.  Units: points; `used` of `items` were asked of both models."""

    SPARSE = ("candidate",)

    task: str
    verdict: str
    used: int
    items: int
    delta: float
    low: float
    high: float
    why: str = ""
    candidate: str = ""  # of several that were asked together with their baseline

    @property
    def saved(self) -> float:
        """The share of the items that nobody had to be asked."""
        return 1 - self.used / self.items if self.items else 0.0


@dataclass(frozen=True, kw_only=True)
class CellRecord(Record):
    """task.json: one checkpoint on one task.  The only place for times (UTC, ISO 8601)."""

    FORMER: ClassVar[Mapping[str, str]] = {"asked": "inputs", "answered": "backend", "scored": "conditions"}
    SPARSE = ("requested", "reader", "rendered", "traceback", "note", "started", "finished", "seconds", "rescored", "noise",
              "decision", "imported", "cost")  # fmt: skip

    task: TaskRecord
    inputs: Inputs = field(default_factory=Inputs)
    backend: Json = field(default_factory=dict)  # its name, and every setting that can move an answer
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    requested: Json | None = None  # settings of the backend that flags asked for; None in older results
    reader: Json = field(default_factory=dict)  # how answers are told from reasoning; {}: by no reader, as in older results
    rendered: str = ""  # the hash of the prompts as the chat template rendered them; "": not known
    conditions: Json = field(default_factory=dict)  # what scores rest on besides the responses: the sandbox
    state: State = "done"
    why: str = ""  # of a failure
    traceback: str = ""
    note: str = ""  # from the backend, such as how many recorded outputs matched no example
    started: str = ""
    finished: str = ""
    seconds: float = 0.0
    cost: Json = field(default_factory=dict)  # where not all was asked at once: {"answers": count, "seconds": of a device}
    rescored: str = ""
    noise: Noise | None = None
    decision: SequentialVerdict | None = None
    imported: Json = field(default_factory=dict)  # task, filter and metric by the names of the program that scored them

    @classmethod
    def parse(cls, name: str, value: Any) -> Any:
        value = redact_settings(value)  # other programs, and older versions, may have stored a key
        if name == "noise":
            return value and build_plain(Noise, {"backend" if key == "answered" else key: part for key, part in value.items()})
        parts: Mapping[str, type[Record]] = {"task": TaskRecord, "inputs": Inputs, "decision": SequentialVerdict}
        return parts[name].from_json(value) if name in parts and (value is not None or name != "decision") else value

    def identity(self) -> dict[str, Any]:
        """What all samples of a cell share, as JSON."""
        return self.comparable() | {"fingerprint": dict(self.fingerprint)}

    def comparable(self) -> dict[str, Any]:
        """What two results must share to be compared, as JSON."""
        shared = {"task": self.task.to_json(), "inputs": self.inputs.to_json(), "backend": dict(self.backend)}
        rules = dict(self.conditions.get("rules", {}))  # versions of the libraries that a task's rules use
        sparse = {"reader": dict(self.reader), "rendered": self.rendered, "rules": rules}
        return shared | {name: value for name, value in sparse.items() if value}

    def differences(self, now: CellRecord) -> list[tuple[str, str, str]]:
        """Where another record says something else of what a cell's samples share, as (name, stored, now)."""
        unlike = [d for d in differences(self.comparable(), now.comparable()) if d[0] != "task.skill"]  # moves no answer
        if not (self.rendered and now.rendered):  # older results, and some backends, do not know it
            unlike = [difference for difference in unlike if difference[0] != "rendered"]
        parts = changed_parts(self.fingerprint, now.fingerprint)
        return [*unlike, *((f"fingerprint.{name}", old, new) for name, old, new in parts)]


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord(Record):
    """checkpoint.json: a Checkpoint's fields, with hashes of what can move its answers."""

    SPARSE = ("results", "elsewhere", "adapters", "tokenizer")

    name: str
    path: str = ""
    producer: str = ""
    method: str = ""
    run: str = ""
    step: int | None = None
    base: str = ""
    content: str = ""
    problem: str = ""
    adapters: tuple[str, ...] = ()
    tokenizer: str = ""
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    results: str = ""  # the results folder that it was read from
    elsewhere: tuple[str, ...] = ()  # further folders that hold it

    @classmethod
    def of(cls, checkpoint: Checkpoint, fingerprint: Mapping[str, str]) -> Self:
        return cls(**asdict(checkpoint), fingerprint=dict(fingerprint))


def read_record(path: Path, kind: type[R]) -> R:
    """The record in a file of the results folder."""
    try:
        return kind.from_json(read_stored_json(path))
    except (SkilldeltaError, TypeError, ValueError, AttributeError) as error:
        raise SkilldeltaError(f"{path}: {error}") from error


def utc_now() -> str:
    """The time as records have it, to the second: 2026-01-31T23:59:59Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def current_name(name: str) -> str:
    """A difference's name (`asked.prompts`) as it is called now (`inputs.prompts`): users allow differences by name."""
    first, dot, rest = name.partition(".")
    former = TaskRecord.FORMER if first == "task" else {}
    return CellRecord.FORMER.get(first, first) + dot + former.get(rest, rest)
