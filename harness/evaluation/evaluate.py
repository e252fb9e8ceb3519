"""The loop: checkpoints x tasks -> store.  Ask, keep, score: a cell that fails is told, the others are finished."""

from __future__ import annotations

import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from harness import data, fingerprint, training_log
from harness.judges import assignment
from harness.store import Cell, Results, Writer
from harness.types import Checkpoint, Example, Model, Request, Response, Sample, Score, SkilldeltaError, Task

OVERRIDES = ("max_tokens", "temperature", "top_p", "stop", "seed")
WHY = {
    "overlong": "the prompt is longer than the model's window",
    "error": "no answer",
}


@dataclass(frozen=True)
class Settings:
    """What is asked, for every cell alike."""

    folder: Path | None = None  # local data; None: the Hub
    selections: Mapping[str, data.Selection] = field(default_factory=dict)  # by task, "" for all others
    overrides: Mapping[str, Any] = field(default_factory=dict)  # fields of Request, see OVERRIDES
    draws: int | None = None
    seed: int = 0
    judges: Mapping[str, str] = field(default_factory=dict)  # by task, see judging.bind


@dataclass(frozen=True)
class Question:
    """One request with the example that it asks about."""

    example: Example
    request: Request

    @property
    def key(self) -> tuple[str, int]:
        return self.example.id, self.request.draw


@dataclass(frozen=True)
class Outcome:
    """What became of a cell."""

    checkpoint: str
    task: str
    state: Literal["done", "already", "failed"]
    samples: int = 0
    unscored: int = 0
    why: str = ""
    seconds: float = 0.0


class Progress(Protocol):
    """Hears how far a run is."""

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None: ...
    def advance(self) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


class Silent:
    """Hears, and says nothing."""

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None: ...
    def advance(self) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


Loader = Callable[[Checkpoint], Model]


def score(
    checkpoints: Sequence[Checkpoint],
    tasks: Sequence[Task],
    loader: Loader,
    results: Results,
    settings: Settings,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Scores every checkpoint on every task; what is stored already is not asked again.  `loader` makes a model ready."""
    listener = progress or Silent()
    asked: dict[str, list[Question] | SkilldeltaError] = {}
    outcomes = []
    bound = assignment.bind_all(tasks, settings.judges)
    for checkpoint in checkpoints:
        model = Lazy(checkpoint, loader)
        for task in bound:
            if task.name not in asked:
                asked[task.name] = attempt(task, settings)
            outcome = cell(Job(checkpoint, task, asked[task.name], model), results, listener)
            listener.end(outcome)
            outcomes.append(outcome)
    return outcomes


def attempt(task: Task, settings: Settings) -> list[Question] | SkilldeltaError:
    """The task's questions, or why there are none: asked once, whatever the number of checkpoints."""
    try:
        return questions(task, settings)
    except SkilldeltaError as error:
        return error


def questions(task: Task, settings: Settings) -> list[Question]:
    """Every request of a task, in the order of its examples and draws."""
    chosen = settings.selections.get(task.name, settings.selections.get("", data.Selection()))
    draws = task.draws if settings.draws is None else settings.draws
    changes: dict[str, Any] = {"seed": settings.seed, **settings.overrides}
    if unknown := set(changes) - set(OVERRIDES):
        raise SkilldeltaError(f"Not a generation setting: {', '.join(sorted(unknown))}.  There are: {', '.join(OVERRIDES)}.")
    return [
        Question(example, replace(task.ask(example), **changes, draw=draw))
        for example in data.examples(task, settings.folder, chosen)
        for draw in range(draws)
    ]


class Lazy:
    """A checkpoint's model, loaded when the first cell needs it; a failure is kept for the cells after it."""

    def __init__(self, checkpoint: Checkpoint, loader: Loader) -> None:
        self.checkpoint, self.loader = checkpoint, loader
        self.model: Model | None = None
        self.identity: dict[str, str] | None = None
        self.failure: Exception | None = None

    def get(self) -> Model:
        if self.failure:
            raise self.failure
        if self.model is None:
            try:
                self.model = self.loader(self.checkpoint)
            except Exception as error:
                self.failure = error
                raise
        return self.model

    def fingerprint(self) -> dict[str, str]:
        """The hashes of the checkpoint's files, read once."""
        if self.identity is None:
            self.identity = fingerprint.checkpoint(self.checkpoint)
        return self.identity


@dataclass(frozen=True)
class Job:
    """A cell to be worked on."""

    checkpoint: Checkpoint
    task: Task
    questions: list[Question] | SkilldeltaError
    model: Lazy


def cell(job: Job, results: Results, progress: Progress) -> Outcome:
    """Works on one cell.  Whatever goes wrong in it is its outcome, with the reason: the other cells go on."""
    started = time.monotonic()
    stored = results.cell(job.checkpoint.name, job.task.name)
    try:
        if job.checkpoint.problem:
            raise SkilldeltaError(job.checkpoint.problem)
        if isinstance(job.questions, SkilldeltaError):
            raise job.questions
        return fill(job, job.questions, stored, results, progress)
    except Exception as error:  # noqa: BLE001  any failure of one cell is reported with its reason, never raised over the others
        known = isinstance(error, SkilldeltaError)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        if (stored.folder / "task.json").exists() and stored.about().get("state") != "done":
            stored.note({"state": "failed", "why": why, "traceback": "" if known else traceback.format_exc()})
        return Outcome(job.checkpoint.name, job.task.name, "failed", why=why, seconds=time.monotonic() - started)


def fill(job: Job, asked: list[Question], stored: Cell, results: Results, progress: Progress) -> Outcome:
    """Asks what is not stored yet, stores and scores it."""
    started = time.monotonic()
    identity = job.model.fingerprint()
    there = stored.about()
    if there.get("state") == "done" and matches(there, job.task, asked, identity):
        samples = list(stored.samples())
        return summary(job, "already", samples, started)
    if job.task.prepare:
        job.task.prepare()
    model = job.model.get()
    results.add(job.checkpoint, identity)
    training_log.keep(results, job.checkpoint)
    results.keep(job.task.name, (q.example for q in asked))
    stored.begin(about(job.task, asked, identity, model) | {"state": "running", "why": "", "started": now()})
    with Writer(stored) as writer:
        done = {(s.example, s.draw) for s in stored.samples()}
        progress.begin(job.checkpoint.name, job.task.name, len(asked), len(done))
        for sample in answers(job.task, model, asked, done):
            writer.append(sample)
            progress.advance()
        writer.sort([q.key for q in asked])
    samples = list(stored.samples())
    told = str(getattr(model, "note", ""))  # what a backend has to say of this cell, such as outputs that found no example
    seconds = round(time.monotonic() - started, 3)
    stored.note({"state": "done", "finished": now(), "seconds": seconds, "traceback": "", "note": told})
    outcome = summary(job, "done", samples, started)
    return replace(outcome, why="; ".join(filter(None, (told, outcome.why))))


def about(task: Task, asked: Sequence[Question], identity: Mapping[str, str], model: Model) -> dict[str, Any]:
    """What task.json says of a cell, less state and times: everything that two comparable results share, and whose it is."""
    return {
        "task": describe(task),
        "asked": asked_about(asked),
        "answered": dict(model.settings),
        "fingerprint": dict(identity),
        "scored": dict(task.conditions()) if task.conditions else {},
    }


def describe(task: Task) -> dict[str, Any]:
    """A task as JSON: what a report needs to know of it."""
    names = ("name", "skill", "version", "source", "aggregate", "positive", "chance", "summary")
    judge = {"judge": task.judge} if task.judged else {}
    passing = {"pass_at": task.pass_at} if task.pass_at else {}
    return {n: getattr(task, n) for n in names} | {"metrics": [asdict(m) for m in task.metrics]} | judge | passing


def asked_about(asked: Sequence[Question]) -> dict[str, Any]:
    """What was asked, as hashes and settings."""
    first = asked[0].request
    return {
        "data": data.content_hash([q.example for q in asked if q.request.draw == 0]),
        "prompts": fingerprint.prompts([q.request for q in asked]),
        "examples": sum(q.request.draw == 0 for q in asked),
        "draws": max(q.request.draw for q in asked) + 1,
        "kind": "weigh" if first.choices else "continue",
        "settings": {} if first.choices else {n: getattr(first, n) for n in (*OVERRIDES,)} | {"stop": list(first.stop)},
    }


def matches(there: Mapping[str, Any], task: Task, asked: Sequence[Question], identity: Mapping[str, str]) -> bool:
    """Is the finished cell the one that is asked for?  Then no model needs to be loaded to know it."""
    return bool(
        there["task"] == describe(task) and there["asked"] == asked_about(asked) and there["fingerprint"] == dict(identity)
    )


def answers(task: Task, model: Model, asked: Sequence[Question], done: set[tuple[str, int]]) -> Iterator[Sample]:
    """Samples as they finish.

    A model gets whole blocks of questions, also when some of a block are stored already: batches, and with them the last
    bits of every answer, are then the same as in an undisturbed run.
    """
    if align := getattr(model, "align", None):
        align(task.name, [q.example for q in asked], [q.request for q in asked])
    with Scorer(task) as scorer:
        for start in range(0, len(asked), model.block):
            block = asked[start : start + model.block]
            if all(q.key in done for q in block):
                continue
            for index, response in model.answer([q.request for q in block]):
                if block[index].key not in done:
                    yield from scorer.put(block[index], response)
        yield from scorer.rest()


class Scorer:
    """Scores responses as they come; for a task whose scorer waits for other processes, in threads beside the model."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1) if task.concurrent else None
        self.waiting: set[Future[Sample]] = set()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def put(self, question: Question, response: Response) -> Iterator[Sample]:
        """Takes one response; gives what is scored by now."""
        if not self.pool:
            yield judge(self.task, question, response)
            return
        self.waiting.add(self.pool.submit(judge, self.task, question, response))
        ready = {f for f in self.waiting if f.done()}
        self.waiting -= ready
        yield from (f.result() for f in ready)

    def rest(self) -> Iterator[Sample]:
        """What is left, as it finishes."""
        while self.waiting:
            ready, self.waiting = wait(self.waiting, return_when=FIRST_COMPLETED)
            yield from (f.result() for f in ready)


def judge(task: Task, question: Question, response: Response) -> Sample:
    """The sample for one response.  What was not answered has no score; neither has a response that the scorer fails on."""
    example = question.example
    if response.finish in WHY:
        verdict = Score(None, why=response.error or WHY[response.finish])
    else:
        try:
            verdict = task.score(example, response)
        except SkilldeltaError:
            raise  # the scorer cannot work at all (no sandbox, no judge): this stops the cell
        except Exception as error:  # noqa: BLE001  an odd response must not lose the others; it is counted as unscored, with the reason
            verdict = Score(None, why=f"the scorer failed: {type(error).__name__}: {error}")
    group = task.group(example) if task.group else ""
    cluster = task.cluster(example) if task.cluster else ""
    return Sample(example.id, question.request.id, response, verdict, question.request.draw, group, cluster)


def rescore(results: Results, tasks: Mapping[str, Task], settings: Settings) -> list[Outcome]:
    """Scores stored responses again, without asking a model: after a fix to a scorer.  Cells of other tasks are left alone."""
    outcomes = []
    bound = {task.name: task for task in assignment.bind_all(tasks.values(), settings.judges)}
    for name, facts, stored in results.cells():
        task = bound.get(facts["task"]["name"])
        if task is None:
            continue
        known = {e.id: e for e in data.examples(task, settings.folder)}
        old = list(stored.samples())
        if gone := [s.example for s in old if s.example not in known]:
            why = f"{len(gone)} of {len(old)} samples are of rows that the data no longer holds (the first: {gone[0]})"
            outcomes.append(Outcome(name, task.name, "failed", why=why))
            continue
        try:
            new = [again(task, known[s.example], s) for s in old]
        except SkilldeltaError as error:
            outcomes.append(Outcome(name, task.name, "failed", why=str(error)))
            continue
        with Writer(stored):
            stored.rewrite(new)
            stored.note({"task": describe(task), "rescored": now()})
        changed = sum(a.score != b.score for a, b in zip(old, new, strict=True))
        unscored = sum(s.score.value is None for s in new)
        outcomes.append(Outcome(name, task.name, "done", len(new), unscored, f"{changed} scores changed"))
    return outcomes


def again(task: Task, example: Example, old: Sample) -> Sample:
    """A stored sample with its response scored anew."""
    fresh = judge(task, Question(example, Request("", draw=old.draw)), old.response)
    return replace(fresh, request=old.request)


def summary(job: Job, state: Literal["done", "already"], samples: Sequence[Sample], started: float) -> Outcome:
    """The outcome of a finished cell; where samples have no score, the commonest reason."""
    reasons = Counter(s.score.why for s in samples if s.score.value is None)
    why = reasons.most_common(1)[0][0] if reasons else ""
    seconds = time.monotonic() - started
    return Outcome(job.checkpoint.name, job.task.name, state, len(samples), reasons.total(), why, seconds)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
