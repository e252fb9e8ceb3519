"""Several devices: a worker process for each, and the cells spread over them.  What is stored is the same as with one device.

A worker keeps to one checkpoint as long as that has cells: its model is loaded once.  One that is free otherwise helps with the
checkpoint that has most cells left.  A worker that dies fails the one cell it was at, and a new one goes on.
"""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from harness.evaluation.lazy_model import LazyModel, Loader
from harness.evaluation.outcome import Outcome, Progress, SilentProgress
from harness.evaluation.questions import EvaluationSettings, Question
from harness.evaluation.run import CellJob, questions_or_error, run_cell
from harness.evaluation.task_binding import bind_tasks
from harness.parent_process import end_with_parent
from harness.types import Checkpoint, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.store import Results

Place = tuple[int, int]  # of a cell: its checkpoint and its task
DEVICE = re.compile(r"^(?:\d+|cpu|mps|(?:cuda|xpu)(?::\d+)?)$")
FORK = multiprocessing.get_context("fork")  # tasks are functions: they are inherited, not sent


@dataclass(frozen=True)
class SpreadRun:
    """What is scored: every checkpoint on every task."""

    checkpoints: Sequence[Checkpoint]
    tasks: Sequence[Task]
    results: Results
    settings: EvaluationSettings

    def places(self) -> list[Place]:
        """The cells in the order of a run on one device."""
        return [(c, t) for c in range(len(self.checkpoints)) for t in range(len(self.tasks))]


@dataclass
class DeviceWorker:
    """A process with a device, and the cell that it is at."""

    device: str
    process: BaseProcess
    pipe: Connection
    place: Place | None = None

    @property
    def death(self) -> str:
        """How the process ended."""
        self.process.join()
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL:
            return f"the worker on {self.device} was killed, as a system does whose memory runs out"
        return f"the worker on {self.device} ended with exit code {code}"


@dataclass
class CellQueue:
    """The cells that no worker has begun."""

    places: list[Place]
    last_checkpoint: dict[str, int] = field(default_factory=dict)  # by worker

    def next(self, worker: str) -> Place | None:
        """The next cell for a worker: of its checkpoint, of one that nobody is at, or of the one with most cells left."""
        if not self.places:
            return None
        own, busy = self.last_checkpoint.get(worker), set(self.last_checkpoint.values())
        left = [checkpoint for checkpoint, _ in self.places]
        free = [checkpoint for checkpoint in left if checkpoint not in busy]
        checkpoint = own if own in left else free[0] if free else max(dict.fromkeys(left), key=left.count)
        place = next(p for p in self.places if p[0] == checkpoint)
        self.places.remove(place)
        self.last_checkpoint[worker] = place[0]
        return place


def list_devices(text: str) -> list[str]:
    """The devices of "all" (every GPU), or of a list such as "cpu,cpu" or "0,1".  SkilldeltaError where there is none."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if names == ["all"]:
        from harness.engine.device import count_gpus

        names = [f"cuda:{n}" for n in range(count_gpus())]
        if not names:
            raise SkilldeltaError("--devices all: there is no GPU here.  Name devices: --devices cpu,cpu.")
    if wrong := [name for name in names if not DEVICE.match(name)]:
        raise SkilldeltaError(
            f"--devices {text}: {wrong[0]!r} is no device.  Name all, or a list such as cpu,cpu or 0,1 or cuda:2."
        )
    return [f"cuda:{name}" if name.isdigit() else name for name in names]


def score_on_devices(run: SpreadRun, loaders: dict[str, Loader], progress: Progress | None = None) -> list[Outcome]:
    """Scores every checkpoint on every task, with a loader for each worker; outcomes in the order of one device.

    Raises SkilldeltaError for settings that fit no task.
    """
    bound = SpreadRun(run.checkpoints, bind_tasks(run.tasks, run.settings), run.results, run.settings)
    listener = progress or SilentProgress()
    queue, outcomes = CellQueue(bound.places()), dict[Place, Outcome]()
    workers: dict[str, DeviceWorker] = {}

    def start(name: str) -> DeviceWorker:
        on_cpu = sum(other.startswith("cpu") for other in loaders) if name.startswith("cpu") else 1
        duty = WorkerDuty(bound, loaders[name], on_cpu, [worker.pipe for worker in workers.values()])
        workers[name] = start_worker(name, duty)
        return workers[name]

    try:
        for name in loaders:
            start(name)
        for worker in workers.values():
            hand_out(worker, queue)
        while busy := {w.pipe: name for name, w in workers.items() if w.place is not None}:
            for pipe in wait(list(busy)):
                name = busy[pipe]  # type: ignore[index]
                worker = workers[name]
                place, outcome = receive(worker, bound)
                outcomes[place] = outcome
                listener.end(outcome)
                if not worker.process.is_alive() and queue.places:
                    worker = start(name)
                hand_out(worker, queue)
    finally:
        for worker in workers.values():
            worker.process.terminate()
            worker.process.join()
    return [outcomes[place] for place in bound.places()]


def hand_out(worker: DeviceWorker, queue: CellQueue) -> None:
    """Gives a worker its next cell, if there is one."""
    worker.place = queue.next(worker.device) if worker.process.is_alive() else None
    if worker.place is not None:
        worker.pipe.send(worker.place)


def receive(worker: DeviceWorker, run: SpreadRun) -> tuple[Place, Outcome]:
    """The outcome of a worker's cell; a failure where the worker died over it."""
    assert worker.place is not None, "nobody waits for a worker without a cell"
    place = worker.place
    try:
        return place, worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        checkpoint, task = run.checkpoints[place[0]].name, run.tasks[place[1]].name
        return place, Outcome(checkpoint, task, "failed", why=f"{worker.death}.  The same command continues from its samples.")


@dataclass(frozen=True)
class WorkerDuty:
    """What a worker inherits.  `processes`: that share its processor's threads.  `pipes`: of other workers, not for it."""

    run: SpreadRun
    load: Loader
    processes: int
    pipes: Sequence[Connection]


def start_worker(name: str, duty: WorkerDuty) -> DeviceWorker:
    pipe, end = FORK.Pipe()
    process = FORK.Process(target=work, args=(end, replace(duty, pipes=[*duty.pipes, pipe])), daemon=False)
    process.start()
    end.close()
    return DeviceWorker(name, process, pipe)


def work(pipe: Connection, duty: WorkerDuty) -> None:
    """A worker: does the cells that it is sent, one after another, until nobody sends any."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()  # else it would finish its cell unseen, and the next run be refused that cell meanwhile
    for other in duty.pipes:  # a copy kept here would hide from the others that the run has ended
        other.close()
    if duty.processes > 1:
        from harness.engine.device import share_threads

        share_threads(duty.processes)
    run, models, questions = duty.run, ModelInTurn(duty.run, duty.load), dict[int, list[Question] | SkilldeltaError]()
    for checkpoint, task in receive_places(pipe):
        if task not in questions:
            questions[task] = questions_or_error(run.tasks[task], run.settings)
        job = CellJob(models.get(checkpoint), run.tasks[task], questions[task], run.settings)
        pipe.send(run_cell(job, run.results, SilentProgress()))


def receive_places(pipe: Connection) -> Iterator[Place]:
    try:
        while True:
            yield pipe.recv()
    except (EOFError, ConnectionResetError):
        return


class ModelInTurn:
    """The model of one checkpoint at a time."""

    def __init__(self, run: SpreadRun, load: Loader) -> None:
        self.run, self.load = run, load
        self.number: int | None = None
        self.model: LazyModel | None = None

    def get(self, number: int) -> LazyModel:
        """The checkpoint's model; the last one's memory is free before it is loaded."""
        if self.model is None or number != self.number:
            self.number, self.model = number, LazyModel(self.run.checkpoints[number], self.load)
        return self.model
