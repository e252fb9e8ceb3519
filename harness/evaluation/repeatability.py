"""Asking again, in another order and batch (or precision): how many scores change by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from harness.evaluation import evaluate
from harness.evaluation.evaluate import Lazy, Loader, Outcome, Progress, Question, Settings
from harness.judges import assignment
from harness.statistics.noise import Noise, measure
from harness.store import Results
from harness.types import Checkpoint, Model, Response, Sample, SkilldeltaError, Task, digest

LEAST = 50  # fewer items say little about a rate of a few percent


@dataclass(frozen=True)
class Share:
    """How much of a cell is asked again: a share of its items, but `least` of them if there are as many."""

    share: float = 0.1
    least: int = LEAST


@dataclass(frozen=True)
class Reasked:
    """What asking again showed for one checkpoint and task."""

    checkpoint: str
    task: str
    noise: Noise


def reask(
    checkpoints: Sequence[Checkpoint],
    tasks: Sequence[Task],
    loader: Loader,
    results: Results,
    settings: Settings,
    how: Share = Share(),
) -> Iterator[Reasked]:
    """Asks a seeded share of every stored cell again; the noise is kept in its task.json, where comparisons find it."""
    for checkpoint in checkpoints:
        model = Lazy(checkpoint, loader)
        for task in assignment.bind_all(tasks, settings.judges):
            yield again(model, task, results, settings, how)


def again(model: Lazy, task: Task, results: Results, settings: Settings, how: Share) -> Reasked:
    name = model.checkpoint.name
    cell = results.cell(name, task.name)
    stored = {(s.example, s.draw): s for s in cell.samples()}
    if not stored:
        raise SkilldeltaError(f"{name} has no samples of {task.name} in {results.folder}: score it first.")
    asked = [q for q in evaluate.questions(task, settings) if q.key in stored]
    chosen = sample(asked, how)
    parts = others(chosen, len(asked))
    fresh = {(s.example, s.draw): s for part in parts for s in evaluate.answers(task, model.get(), part, set())}
    noise = changed([(stored[q.key], fresh[q.key]) for q in chosen])
    cell.note({"noise": {**asdict(noise), "answered": dict(model.get().settings)}})
    return Reasked(name, task.name, noise)


def changed(pairs: Sequence[tuple[Sample, Sample]]) -> Noise:
    """What is different between two samples of each item."""
    scores = np.array([[math.nan if s.score.value is None else s.score.value for s in both] for both in pairs]).reshape(-1, 2)
    weighed = [(old.response.logprobs, new.response.logprobs) for old, new in pairs]  # none where one of the two failed
    drifts = [abs(a - b) for old, new in weighed if len(old) == len(new) for a, b in zip(old, new, strict=True)]
    answers = sum(answer(old.response) != answer(new.response) for old, new in pairs)
    return replace(measure(scores[:, 0], scores[:, 1]), answers=answers, drift=round(max(drifts, default=0.0), 6))


def answer(response: Response) -> str | int:
    """What was said, or which choice is the likeliest."""
    return int(np.argmax(response.logprobs)) if response.logprobs else response.text


Again = Callable[[Lazy, Task], Reasked]


class Rechecks:
    """Asks a share of each cell again as soon as it is done, while its model is there: loader and progress of a run."""

    def __init__(
        self, loader: Loader, progress: Progress, tasks: Sequence[Task], again: Callable[[Lazy, Task], Reasked]
    ) -> None:
        self.loader, self.progress, self.again = loader, progress, again
        self.tasks = {t.name: t for t in tasks}
        self.lazy: Lazy | None = None
        self.found: list[Reasked] = []

    def load(self, checkpoint: Checkpoint) -> Model:
        self.lazy = None  # the last model's memory is free before the next is loaded
        model = self.loader(checkpoint)
        self.lazy = Lazy(checkpoint, lambda _: model)
        return model

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        self.progress.begin(checkpoint, task, total, done)

    def advance(self) -> None:
        self.progress.advance()

    def end(self, outcome: Outcome) -> None:
        self.progress.end(outcome)
        if outcome.state == "done" and self.lazy is not None:
            self.found.append(self.again(self.lazy, self.tasks[outcome.task]))


def sample(asked: Sequence[Question], how: Share) -> list[Question]:
    """A share of the questions, in an order that has nothing to do with theirs: other batches than before."""
    count = min(len(asked), max(how.least, math.ceil(how.share * len(asked))))
    return sorted(asked, key=lambda q: digest(["asked again", *q.key]))[:count]


def others(chosen: list[Question], of: int) -> list[list[Question]]:
    """The questions in the company of others than before: most of a cell at once would be asked as it was the first time, since
    a model sorts what it is given, and no noise would show."""
    return [chosen[::2], chosen[1::2]] if 2 * len(chosen) > of else [chosen]
