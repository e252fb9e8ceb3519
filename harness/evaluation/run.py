"""The loop over checkpoints and tasks: asks, scores and stores.  A cell that fails is reported, the others are finished."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.evaluation.cell_identity import find_equal_cell, holds_all, identify_cell, new_record, store_context, take_answers
from harness.evaluation.failures import describe_failure, store_failure_reason
from harness.evaluation.lazy_model import LazyModel, Loader
from harness.evaluation.model_reports import SupportsNote, answer_cost, connect_tokens
from harness.evaluation.outcome import LoadingListener, Outcome, Progress, SilentProgress
from harness.evaluation.preflight import check_supported, is_server, unsupported_first
from harness.evaluation.questions import EvaluationSettings, Question, choose_reader, is_generated, make_questions
from harness.evaluation.scoring import collect_samples, grade_waiting, judge_work
from harness.evaluation.task_binding import bind_tasks
from harness.prompts.reading import Reader
from harness.records import utc_now
from harness.rust_panics import panics_as_errors
from harness.store import Cell, CellInUseError, Results, SampleWriter
from harness.types import Checkpoint, Json, Model, Sample, SkilldeltaError, Task


@dataclass(frozen=True)
class CellJob:
    """A checkpoint on a task; `questions` is the error where there are none."""

    model: LazyModel
    task: Task
    questions: list[Question] | SkilldeltaError
    settings: EvaluationSettings

    @property
    def checkpoint(self) -> Checkpoint:
        return self.model.checkpoint


def score_checkpoints(
    checkpoints: Sequence[Checkpoint],
    tasks: Sequence[Task],
    loader: Loader,
    results: Results,
    settings: EvaluationSettings,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Scores every checkpoint on every task; what is stored already is not asked again.  `loader` makes a model ready.

    SkilldeltaError for settings that fit no task; a failure of one cell is its Outcome.
    """
    listener = progress or SilentProgress()
    questions: dict[str, list[Question] | SkilldeltaError] = {}
    outcomes = []
    bound_tasks = bind_tasks(tasks, settings)

    def ask(task: Task) -> list[Question] | SkilldeltaError:
        if task.name not in questions:
            questions[task.name] = questions_or_error(task, settings)
        return questions[task.name]

    for checkpoint in checkpoints:
        model, by_task = LazyModel(checkpoint, loader), dict[str, Outcome]()
        for task in unsupported_first(bound_tasks, ask, model, results) if is_server(loader) else bound_tasks:
            by_task[task.name] = run_cell(CellJob(model, task, ask(task), settings), results, listener)
            listener.end(by_task[task.name])
        outcomes += [by_task[task.name] for task in bound_tasks]
    return outcomes


def questions_or_error(task: Task, settings: EvaluationSettings) -> list[Question] | SkilldeltaError:
    """The task's questions, or why there are none: made once, for all checkpoints."""
    try:
        return make_questions(task, settings)
    except SkilldeltaError as error:
        return error


def run_cell(job: CellJob, results: Results, progress: Progress) -> Outcome:
    """Works on one cell.  Whatever goes wrong in it is its outcome, with the reason: the other cells go on."""
    start = time.monotonic()
    cell = results.cell(job.checkpoint.name, job.task.name)
    try:
        if job.checkpoint.problem:
            raise SkilldeltaError(job.checkpoint.problem)
        if isinstance(job.questions, SkilldeltaError):
            raise job.questions
        with panics_as_errors():
            return fill_cell(job, job.questions, cell, results, progress)
    except (Exception, SystemExit) as error:  # noqa: BLE001  any failure of one cell is reported, never raised over the others
        why = describe_failure(error, cell.folder)
        if not isinstance(error, CellInUseError):  # the record is then its writer's
            store_failure_reason(error, why, cell)
        return Outcome(job.checkpoint.name, job.task.name, "failed", why=why, seconds=time.monotonic() - start)


def fill_cell(job: CellJob, questions: list[Question], cell: Cell, results: Results, progress: Progress) -> Outcome:
    """Asks what is not stored yet, stores and scores it."""
    start = time.monotonic()
    before = cell.record()
    reader = choose_reader(job.settings.reader, is_generated(questions), before)
    if (source := take_stored(job, questions, reader, cell, results)) is not None:
        return replace(make_outcome(job, "already", list(cell.samples()), start), why=source)
    if job.task.prepare:
        job.task.prepare()
    model = announce_and_load(job, progress)
    store_context(results, job.model, job.task, questions)
    record = new_record(job.task, questions, job.model, job.settings.sandbox, reader)
    with SampleWriter(cell) as writer:
        cell.begin(record, job.settings.ask_again)
        check_supported(model, questions)
        grade_waiting(job.task, questions, cell, reader)
        stored_keys = {s.key for s in cell.samples()}
        progress.begin(job.checkpoint.name, job.task.name, len(questions), len(stored_keys))
        connect_tokens(model, progress)
        for sample in collect_samples(job.task, model, questions, stored_keys, reader, job.settings.exact_resume):
            writer.append(sample)
            progress.advance()
        writer.sort([q.key for q in questions])
        note = model.note if isinstance(model, SupportsNote) else ""
        seconds = round(time.monotonic() - start, 3)
        cost = answer_cost(model, len(questions) - len(stored_keys), not stored_keys, seconds)
        facts = {"seconds": seconds, "cost": cost, "note": note, **judge_report(job.task, cell)}
        cell.update(state="done", finished=utc_now(), why="", traceback="", **facts)
    outcome = make_outcome(job, "done", list(cell.samples()), start)
    return replace(outcome, why="; ".join(filter(None, (note, outcome.why))))


def announce_and_load(job: CellJob, progress: Progress) -> Model:
    """The checkpoint's model, with a word before it is loaded: of a large one that takes minutes."""
    model = job.model
    is_new = model.model is None and model.failure is None and not is_server(model.loader)
    if is_new and isinstance(progress, LoadingListener):
        progress.loading(job.checkpoint.name)
    return model.get()


def judge_report(task: Task, cell: Cell) -> dict[str, Json]:
    """The record's conditions with what the judge's work took; {} where no judge tells."""
    work = judge_work(task, list(cell.samples()))
    return {"conditions": {**cell.read().conditions, "judge": work}} if work else {}


def take_stored(job: CellJob, questions: Sequence[Question], reader: Reader | None, cell: Cell, results: Results) -> str | None:
    """Whether nothing need be asked: where the answers come from ("" for this cell itself); None where there are none."""
    identity, before, settings = identify_cell(job.model, job.task, questions, reader), cell.record(), job.settings
    if before and settings.ask_again and identity.differences(before):
        return None
    if identity.is_done(before, cell):
        return "" if holds_all(cell, questions) else None  # a file that lost lines: what is missing is asked again
    equal = None if before else find_equal_cell(identity, questions, [results, *map(Results, settings.reuse)], cell)
    if equal is None:
        return None
    store_context(results, job.model, job.task, questions)
    return take_answers(equal[1], equal[0], cell)


def make_outcome(job: CellJob, state: Literal["done", "already"], samples: Sequence[Sample], start: float) -> Outcome:
    """The outcome of a finished cell; where samples have no score, the commonest reason."""
    reasons = Counter(s.score.why for s in samples if s.score.value is None)
    why = reasons.most_common(1)[0][0] if reasons else ""
    seconds = time.monotonic() - start
    return Outcome(job.checkpoint.name, job.task.name, state, len(samples), reasons.total(), why, seconds)
