"""Is a stored cell what is asked for now?  Everything that moves an answer must agree; no model is loaded to know it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness import training_log
from harness.differences import changed_parts, describe_differences, differences
from harness.evaluation.questions import Question, inputs_record, is_generated, task_record
from harness.records import RAW, CellRecord, Inputs, TaskRecord, utc_now
from harness.store import Cell, Results, SampleWriter
from harness.types import Checkpoint, Json, Model, Request, SandboxOptions, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.evaluation.lazy_model import LazyModel
    from harness.prompts.reading import Reader

Difference = tuple[str, str, str]
SAMPLING = "sampling"  # the setting of a backend that concerns generated texts alone
LABEL = "task.skill"  # moves no answer and no score of a task: a suite may give a task another one


@runtime_checkable
class SupportsSettings(Protocol):
    """A loader that knows which settings its models will have, before it loads one."""

    @property
    def requested(self) -> Json: ...

    def settings_differences(self, checkpoint: Checkpoint, record: CellRecord) -> list[Difference]: ...


@runtime_checkable
class SupportsRender(Protocol):
    """A Model that knows the prompts as its chat template renders them."""

    def rendered_hash(self, requests: Sequence[Request]) -> str: ...


@dataclass(frozen=True)
class CellIdentity:
    """What the samples of a cell would share if it were asked now."""

    checkpoint: Checkpoint
    loader: object
    task: TaskRecord
    inputs: Inputs
    fingerprint: Mapping[str, str]
    reader: Json = field(default_factory=dict)

    def differences(self, record: CellRecord) -> list[Difference]:
        """Where a stored cell is another one, as (name, stored, now)."""
        then = {"task": record.task.to_json(), "inputs": record.inputs.to_json(), "reader": dict(record.reader)}
        now = {"task": self.task.to_json(), "inputs": self.inputs.to_json(), "reader": dict(self.reader)}
        parts = [(f"fingerprint.{name}", old, new) for name, old, new in changed_parts(record.fingerprint, self.fingerprint)]
        loader = self.loader
        settings = loader.settings_differences(self.checkpoint, record) if isinstance(loader, SupportsSettings) else []
        irrelevant = (LABEL, *([f"backend.{SAMPLING}"] if record.inputs.kind == "loglikelihood" else ()))
        return [d for d in (*differences(then, now), *parts, *settings) if d[0] not in irrelevant]

    @property
    def requested(self) -> dict[str, Any] | None:
        """The settings that flags asked for, for task.json; None for a loader that does not say."""
        return dict(self.loader.requested) if isinstance(self.loader, SupportsSettings) else None

    def is_done(self, record: CellRecord | None, cell: Cell) -> bool:
        """Whether a finished cell is what is asked for.  SkilldeltaError, with the differences, where it is another."""
        if record is None or record.state != "done":
            return False
        self.check_stored(record, cell)
        return True

    def check_stored(self, record: CellRecord, cell: Cell) -> None:
        """Raises SkilldeltaError, with the differences, where stored samples are of another cell.

        A finished cell of an older version may not tell its sampling: it was asked in one way, and no answer joins it.
        """
        is_whole = record.state == "done" and SAMPLING not in record.backend
        unlike = [d for d in self.differences(record) if not (is_whole and d[0] == f"backend.{SAMPLING}")]
        if unlike:
            raise SkilldeltaError(describe_differences(cell.folder, unlike))

    def is_equal(self, record: CellRecord) -> bool:
        """Whether another cell holds the same answers: nothing may differ, and nothing may be unknown."""
        is_served = self.checkpoint.producer == "server"  # under one name a server may have other weights every day
        is_alike = record.state == "done" and dict(record.fingerprint) == dict(self.fingerprint)
        return not is_served and is_alike and not self.differences(record)


def holds_all(cell: Cell, questions: Sequence[Question]) -> bool:
    """Whether a cell has a sample for each of the questions."""
    return {q.key for q in questions} <= {s.key for s in cell.samples()}


def find_equal_cell(
    identity: CellIdentity, questions: Sequence[Question], folders: Sequence[Results], own: Cell
) -> tuple[str, Cell] | None:
    """A finished cell with the same answers under another name, or in another results folder: (its name, the cell)."""
    if not isinstance(identity.loader, SupportsSettings):
        return None
    for results in folders:
        for name, cell in cells_of_task(results, identity.task.name):
            record = cell.record() if cell.folder.resolve() != own.folder.resolve() else None
            if record and identity.is_equal(record) and holds_all(cell, questions):
                return name, cell
    return None


def cells_of_task(results: Results, task: str) -> Iterator[tuple[str, Cell]]:
    """(checkpoint's name, cell) of everything that was begun on a task."""
    for name in results.checkpoints():
        cell = results.cell(name, task)
        if cell.record_file.is_file():
            yield name, cell


def take_answers(source: Cell, name: str, target: Cell) -> str:
    """Copies a finished cell's samples and record; what to say of it."""
    record = source.read()
    where = f"{name} in {source.folder.parent.parent}"
    with SampleWriter(target):
        note = f"the answers of {where}: the same checkpoint, asked the same"
        target.rewrite(source.samples(), replace(record, note=note))
    return f"taken from {where}"


def backend_record(model: Model, questions: Sequence[Question]) -> dict[str, Any]:
    """The backend's settings; no template where every prompt is rendered already, no sampling where nothing is generated."""
    settings = dict(model.settings)
    if not is_generated(questions):
        settings.pop(SAMPLING, None)
    is_raw = all(question.request.raw for question in questions)
    return settings | {"template": RAW} if is_raw and "template" in settings else settings


def rendered_hash(model: Model, questions: Sequence[Question]) -> str:
    """The hash of what the model's template makes of the questions; "" where only a server knows, or nothing is rendered."""
    return model.rendered_hash([q.request for q in questions]) if isinstance(model, SupportsRender) else ""


def store_context(results: Results, model: LazyModel, task: Task, questions: Sequence[Question]) -> None:
    """Stores what samples are read with: the checkpoint's record and training log, and the rows."""
    results.add(model.checkpoint, model.fingerprint)
    training_log.store_curves(results, model.checkpoint)
    results.keep(task.name, (q.example for q in questions))


def new_record(
    task: Task, questions: Sequence[Question], model: LazyModel, sandbox: SandboxOptions, reader: Reader | None
) -> CellRecord:
    """task.json of a cell that begins now."""
    identity = identify_cell(model, task, questions, reader)
    return CellRecord(
        task=identity.task,
        inputs=identity.inputs,
        backend=backend_record(model.get(), questions),
        fingerprint=dict(model.fingerprint),
        requested=identity.requested,
        reader=identity.reader,
        rendered=rendered_hash(model.get(), questions),
        conditions=dict(task.conditions(sandbox)) if task.conditions else {},
        state="running",
        started=utc_now(),
    )


def identify_cell(model: LazyModel, task: Task, questions: Sequence[Question], reader: Reader | None) -> CellIdentity:
    """What a cell of these questions to this checkpoint would be: no model need be loaded to know it."""
    record = reader.record if reader else {}
    inputs = inputs_record(questions)
    return CellIdentity(model.checkpoint, model.loader, task_record(task), inputs, model.fingerprint, record)
