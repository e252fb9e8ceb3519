"""A run whose questions the workers of a cluster answer: this process alone makes questions, stores and scores.

Cells are worked on side by side, two for each worker: while one is scored, the worker answers the other.  Programs of coding
tasks run here, on processors, while the devices generate.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from harness.cluster.host_pool import HostPool
from harness.cluster.hosts import HostStarter
from harness.cluster.remote_model import ModelPlace, RemoteModel, RunOverError, SharedRequests, order_for
from harness.evaluation.lazy_model import LazyModel, Loader
from harness.evaluation.outcome import Outcome, Overview, OverviewListener, Progress, SilentProgress
from harness.evaluation.plugin_loader import PluginLoader
from harness.evaluation.questions import Question
from harness.evaluation.run import CellJob, questions_or_error, run_cell
from harness.evaluation.task_binding import bind_tasks
from harness.evaluation.work_queue import WorkQueue, WorkUnit
from harness.fingerprint import hash_checkpoint
from harness.types import Checkpoint, Model, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.evaluation.workers import SpreadRun

LANES = 2  # cells for each worker at a time
LOOK_S = 0.5  # between two looks at the workers
FUNCTIONS = ("score", "prepare", "conditions", "grade_ahead")  # of tasks, that may not run in two threads at once


class CellProgress:
    """The progress of one of many cells that are worked on at once: counted together."""

    def __init__(self, state: Overview, lock: threading.Lock) -> None:
        self.state, self.lock = state, lock

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        with self.lock:
            self.state.questions += total - done

    def advance(self) -> None:
        with self.lock:
            self.state.answers += 1

    def end(self, outcome: Outcome) -> None: ...


class HashedOnce(LazyModel):
    """A checkpoint's model for one of its cells; its hashes are those of all of them."""

    def __init__(self, checkpoint: Checkpoint, loader: Loader, hash_once: Callable[[], dict[str, str]]) -> None:
        super().__init__(checkpoint, loader)
        self.hash_once = hash_once

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        return self.hash_once()


class ClusterRun:
    """Every checkpoint on every task, by workers of a cluster."""

    def __init__(self, run: SpreadRun, loader: PluginLoader, pool: HostPool, progress: Progress) -> None:
        self.lock, self.scoring = threading.Lock(), threading.RLock()
        tasks = [take_turns(task, self.scoring) for task in bind_tasks(run.tasks, run.settings)]
        self.run = replace(run, tasks=tasks)
        self.loader, self.pool, self.progress = loader, pool, progress
        self.queue = WorkQueue(self.run.units())
        self.state = Overview(len(self.queue), size=len(pool.slots))
        self.questions: dict[int, list[Question] | SkilldeltaError] = {}
        self.requests: dict[int, SharedRequests] = {}
        self.fingerprints: dict[int, dict[str, str]] = {}
        self.hashing = [threading.Lock() for _ in run.checkpoints]
        self.lanes = Counter(name for name in pool.slots for _ in range(LANES))
        self.outcomes: dict[WorkUnit, Outcome] = {}
        self.errors: list[BaseException] = []

    def score(self) -> list[Outcome]:
        """The outcomes in the order of a run on one device.  SkilldeltaError where no worker comes."""
        lanes = [threading.Thread(target=self.work_lane, args=(name,), daemon=True) for name in self.lanes.elements()]
        self.pool.start()
        try:
            for lane in lanes:
                lane.start()
            while alive := [lane for lane in lanes if lane.is_alive()]:
                alive[0].join(LOOK_S)
                self.show()
                self.pool.check()
                if self.errors:
                    raise self.errors[0]
        finally:
            self.pool.close()
            for lane in lanes:
                if lane.is_alive():
                    lane.join()
        if self.errors:
            raise self.errors[0]
        return [self.outcomes[unit] for unit in self.run.units()]

    def show(self) -> None:
        if isinstance(self.progress, OverviewListener):
            with self.lock:
                state = replace(self.state, workers=self.pool.running(), losses=self.pool.losses)
            self.progress.overview(state)

    def work_lane(self, worker: str) -> None:
        """Works on cells, one after another, until none is left."""
        try:
            while (unit := self.next_unit(worker)) is not None:
                outcome = self.score_cell(worker, unit)
                with self.lock:
                    self.outcomes[unit] = outcome
                    self.state.finished_cells += 1
                    self.progress.end(outcome)
        except RunOverError:
            return
        except BaseException as error:  # noqa: BLE001  it ends the run: the main thread raises it
            self.errors.append(error)

    def next_unit(self, worker: str) -> WorkUnit | None:
        with self.lock:
            unit = None if self.pool.is_closed() else self.queue.next(worker)
            self.lanes[worker] -= unit is None
        if not self.lanes[worker]:
            self.pool.free(worker)
        return unit

    def score_cell(self, worker: str, unit: WorkUnit) -> Outcome:
        checkpoint, task = self.run.checkpoints[unit.checkpoint], self.run.tasks[unit.task]
        with self.scoring:  # making questions may read files and caches that know no threads
            if unit.task not in self.questions:
                self.questions[unit.task] = questions_or_error(task, self.run.settings)
        questions = self.questions[unit.task]
        loader = replace(self.loader, load=partial(self.load, ModelPlace(worker, unit)))
        model = HashedOnce(checkpoint, loader, partial(self.hash_once, unit.checkpoint))
        job = CellJob(model, task, questions, self.run.settings)
        return run_cell(job, self.run.results, CellProgress(self.state, self.lock))

    def hash_once(self, checkpoint: int) -> dict[str, str]:
        """The hashes of a checkpoint's files, for all its cells."""
        with self.hashing[checkpoint]:
            if checkpoint not in self.fingerprints:
                self.fingerprints[checkpoint] = hash_checkpoint(self.run.checkpoints[checkpoint])
            return self.fingerprints[checkpoint]

    def load(self, place: ModelPlace, checkpoint: Checkpoint) -> Model:
        order = order_for(checkpoint, self.hash_once(place.unit.checkpoint))
        return RemoteModel(self.pool, place, order, self.share(place.unit.task))

    def share(self, task: int) -> SharedRequests:
        """The requests of a task, sent to the workers once for all checkpoints."""
        with self.lock:
            if task not in self.requests:
                questions = self.questions[task]
                assert not isinstance(questions, SkilldeltaError), "no model is needed for a task without questions"
                requests = [question.request for question in questions]
                places = {request.id: place for place, request in enumerate(requests)}
                self.requests[task] = SharedRequests(self.pool.starter.share(requests), places)
            return self.requests[task]


def score_on_workers(
    run: SpreadRun, loader: PluginLoader, starter: HostStarter, size: int, progress: Progress | None = None
) -> list[Outcome]:
    """Scores every checkpoint on every task by so many workers; outcomes in the order of one device.

    SkilldeltaError for settings that fit no task, and where no worker can be had.
    """
    listener = progress or SilentProgress()
    remark = listener.remark if isinstance(listener, OverviewListener) else ignore_remark
    return ClusterRun(run, loader, HostPool(starter, size, remark), listener).score()


def ignore_remark(text: str) -> None: ...


def take_turns(task: Task, lock: threading.RLock) -> Task:
    """The task with functions that run in one thread at a time; a concurrent one's score() is made for several."""
    names = [name for name in FUNCTIONS if getattr(task, name, None) and not (name == "score" and task.concurrent)]
    in_turn: dict[str, Any] = {name: partial(call_in_turn, lock, getattr(task, name)) for name in names}
    return replace(task, **in_turn)


def call_in_turn(lock: threading.RLock, function: Callable[..., Any], *arguments: Any) -> Any:
    with lock:
        return function(*arguments)
