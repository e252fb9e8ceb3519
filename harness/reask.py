"""Asking again, in another order and batch (or precision): how many scores change by themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness import evaluate, judging
from harness.comparison.noise import Noise, measure
from harness.evaluate import Lazy, Loader, Question, Settings
from harness.store import Results
from harness.types import Checkpoint, SkilldeltaError, Task, digest

LEAST = 50  # fewer items say little about a rate of a few percent


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
    share: float = 0.1,
) -> Iterator[Reasked]:
    """Asks a seeded `share` of every stored cell again; the noise is kept in its task.json, where comparisons find it."""
    for checkpoint in checkpoints:
        model = Lazy(checkpoint, loader)
        for task in judging.bind_all(tasks, settings.judges):
            yield again(model, task, results, settings, share)


def again(model: Lazy, task: Task, results: Results, settings: Settings, share: float) -> Reasked:
    name = model.checkpoint.name
    cell = results.cell(name, task.name)
    stored = {(s.example, s.draw): s.score.value for s in cell.samples()}
    if not stored:
        raise SkilldeltaError(f"{name} has no samples of {task.name} in {results.folder}: score it first.")
    asked = [q for q in evaluate.questions(task, settings) if q.key in stored]
    chosen = sample(asked, share)
    fresh = {(s.example, s.draw): s.score.value for s in evaluate.answers(task, model.get(), chosen, set())}
    scores = np.array([[math.nan if v is None else v for v in (stored[q.key], fresh[q.key])] for q in chosen])
    noise = measure(scores[:, 0], scores[:, 1])
    how = dict(model.get().settings)
    cell.note({"noise": {"n": noise.n, "flips": noise.flips, "shift": noise.shift, "answered": how}})
    return Reasked(name, task.name, noise)


def sample(asked: Sequence[Question], share: float) -> list[Question]:
    """A share of the questions, but LEAST if there are as many, in an order that has nothing to do with theirs."""
    count = min(len(asked), max(LEAST, math.ceil(share * len(asked))))
    return sorted(asked, key=lambda q: digest(["asked again", *q.key]))[:count]
