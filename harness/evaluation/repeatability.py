"""Asks a share of stored questions again, in another order and batch (or precision): how many scores change by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.evaluation.lazy_model import LazyModel, Loader
from harness.evaluation.model_reports import SupportsRounding, TokenListener
from harness.evaluation.outcome import Outcome, Progress
from harness.evaluation.questions import EvaluationSettings, Question, choose_reader, is_generated, make_questions
from harness.evaluation.scoring import collect_samples
from harness.evaluation.task_binding import bind_tasks
from harness.noise import Noise
from harness.shares import check_share
from harness.statistics.noise import measure_noise
from harness.types import Checkpoint, Model, Response, Sample, SkilldeltaError, Task, digest

if TYPE_CHECKING:
    from harness.store import Results

MIN_ITEMS = 50  # fewer items say little about a rate of a few percent
Distances = tuple[float | None, float | None]
MAX_ROUNDED = 8  # questions that are also computed in plain batches


@dataclass(frozen=True)
class RepeatShare:
    """How much of a cell is asked again: a share of its items, but `min_items` of them if there are as many."""

    share: float = 0.1
    min_items: int = MIN_ITEMS


@dataclass(frozen=True)
class RepeatedCell:
    """What changed when one checkpoint was asked questions of one task again."""

    checkpoint: str
    task: str
    noise: Noise


def repeat_cells(
    checkpoints: Sequence[Checkpoint],
    tasks: Sequence[Task],
    loader: Loader,
    results: Results,
    settings: EvaluationSettings,
    share: RepeatShare = RepeatShare(),
) -> Iterator[RepeatedCell]:
    """Asks a seeded share of every stored cell again.  Its task.json keeps the noise, and comparisons find it there.

    SkilldeltaError for a cell that has no samples.
    """
    results.upgrade()
    for checkpoint in checkpoints:
        model = LazyModel(checkpoint, loader)
        for task in bind_tasks(tasks, settings):
            yield repeat_cell(model, task, results, settings, share)


def repeat_cell(
    model: LazyModel, task: Task, results: Results, settings: EvaluationSettings, share: RepeatShare
) -> RepeatedCell:
    """Asks a share of one stored cell again."""
    name = model.checkpoint.name
    cell = results.cell(name, task.name)
    old = {s.key: s for s in cell.samples()}
    if not old:
        raise SkilldeltaError(f"{name} has no samples of {task.name} in {results.folder}: score it first.")
    stored_questions = [q for q in make_questions(task, settings) if q.key in old]
    questions = choose_questions(stored_questions, share)
    batches = split_batches(questions, len(stored_questions))
    reader = choose_reader(settings.reader, is_generated(stored_questions), cell.read())
    new = {s.key: s for batch in batches for s in collect_samples(task, model.get(), batch, set(), reader)}
    noise = compare_samples([(old[q.key], new[q.key]) for q in questions])
    plain, ours = measure_distances(model.get(), questions, [old[q.key] for q in questions])
    noise = replace(noise, plain=plain, ours=ours)
    cell.update(noise=replace(noise, backend=dict(model.get().settings)))
    return RepeatedCell(name, task.name, noise)


def measure_distances(model: Model, questions: Sequence[Question], samples: Sequence[Sample]) -> Distances:
    """How far plain batches of the model are apart, and the engine's log-probabilities from them; None: it has no plain ones.

    A question with choices is asked as it is; of a text, the log-likelihood of its answer.
    """
    if not isinstance(model, SupportsRounding):
        return None, None
    pairs = list(zip(questions, samples, strict=True))[:MAX_ROUNDED]
    requests = [
        q.request if q.request.choices else replace(q.request, choices=(s.response.text,))
        for q, s in pairs
        if s.response.finish in ("stop", "length") and (q.request.choices or s.response.text)
    ]
    if not requests:
        return None, None
    plain, ours = model.measure_rounding(requests)
    return float(f"{plain:.3g}"), float(f"{ours:.3g}")


def compare_samples(pairs: Sequence[tuple[Sample, Sample]]) -> Noise:
    """What is different between two samples of each item."""
    scores = np.array([[math.nan if s.score.value is None else s.score.value for s in both] for both in pairs]).reshape(-1, 2)
    logprobs = [(old.response.logprobs, new.response.logprobs) for old, new in pairs]  # none where one of the two failed
    drifts = [abs(a - b) for old, new in logprobs if len(old) == len(new) for a, b in zip(old, new, strict=True)]
    answers = sum(answer_of(old.response) != answer_of(new.response) for old, new in pairs)
    return replace(measure_noise(scores[:, 0], scores[:, 1]), answers=answers, drift=round(max(drifts, default=0.0), 6))


def answer_of(response: Response) -> str | int:
    """The text, or which choice is the likeliest."""
    return int(np.argmax(response.logprobs)) if response.logprobs else response.text


def choose_questions(questions: Sequence[Question], share: RepeatShare) -> list[Question]:
    """A share of the questions, in an order that has nothing to do with theirs: other batches than before."""
    count = min(len(questions), max(share.min_items, math.ceil(share.share * len(questions))))
    return sorted(questions, key=lambda q: digest(["asked again", *q.key]))[:count]


def split_batches(questions: list[Question], total: int) -> list[list[Question]]:
    """The questions in batches that differ from the first time's.

    A model sorts what it is given: most of a cell's `total` questions at once would meet in the same batches as before, and
    no noise would show.
    """
    return [questions[::2], questions[1::2]] if 2 * len(questions) > total else [questions]


@dataclass(frozen=True)
class NoiseCheck:
    """Asks a share (0..1) of each cell again as soon as it is done; `cells` holds afterwards what changed."""

    share: float
    cells: list[RepeatedCell] = field(default_factory=list)

    def attach(
        self, loader: Loader, tasks: Sequence[Task], results: Results, settings: EvaluationSettings, progress: Progress
    ) -> RepeatingProgress:
        """A run's loader and progress around those given.  SkilldeltaError where the share is none."""
        check_share("--check-noise", self.share)

        def repeat(model: LazyModel, task: str) -> None:
            self.cells.append(repeat_cell(model, tasks_by_name[task], results, settings, RepeatShare(self.share, 1)))

        tasks_by_name = {task.name: task for task in bind_tasks(tasks, settings)}
        return RepeatingProgress(loader, progress, repeat)


class RepeatingProgress:
    """A run's loader and progress that calls `repeat` with each finished cell, while its model is still loaded."""

    def __init__(self, loader: Loader, progress: Progress, repeat: Callable[[LazyModel, str], None]) -> None:
        self.loader, self.progress, self.repeat = loader, progress, repeat
        self.model: LazyModel | None = None

    def load(self, checkpoint: Checkpoint) -> Model:
        self.model = None  # the last model's memory is free before the next is loaded
        model = self.loader(checkpoint)
        self.model = LazyModel(checkpoint, lambda _: model)
        return model

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        self.progress.begin(checkpoint, task, total, done)

    def advance(self) -> None:
        self.progress.advance()

    def count_tokens(self, block: int, tokens: int, seconds_left: float | None) -> None:
        if isinstance(self.progress, TokenListener):
            self.progress.count_tokens(block, tokens, seconds_left)

    def end(self, outcome: Outcome) -> None:
        self.progress.end(outcome)
        if outcome.state == "done" and self.model is not None:
            self.repeat(self.model, outcome.task)
