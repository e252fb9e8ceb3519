"""Several devices: a worker process for each, and the cells spread over them.  What is stored is the same as with one device.

Who takes which cell is the work queue's rule: a worker keeps to one checkpoint.  A worker that dies fails the one cell it was
at, and a new one goes on.
"""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Protocol

from harness.evaluation.lazy_model import LazyModel, Loader
from harness.evaluation.outcome import Outcome, Progress, SilentProgress
from harness.evaluation.questions import EvaluationSettings, Question
from harness.evaluation.run import CellJob, questions_or_error, run_cell
from harness.evaluation.task_binding import bind_tasks
from harness.evaluation.work_queue import WorkQueue, WorkUnit
from harness.evaluation.worker_reports import CellReport, ReportingProgress, WorkersOverview
from harness.name_value_pairs import split_names
from harness.parent_process import end_with_parent
from harness.types import Checkpoint, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.store import Results

DEVICE = re.compile(r"^(?:\d+|cpu|mps|(?:cuda|xpu)(?::\d+)?)$")
FORK = multiprocessing.get_context("fork")  # tasks are functions: they are inherited, not sent


@dataclass(frozen=True)
class SpreadRun:
    """What is scored: every checkpoint on every task."""

    checkpoints: Sequence[Checkpoint]
    tasks: Sequence[Task]
    results: Results
    settings: EvaluationSettings

    def units(self) -> list[WorkUnit]:
        """The cells in the order of a run on one device."""
        return [WorkUnit(c, t) for c in range(len(self.checkpoints)) for t in range(len(self.tasks))]


class RunElsewhere(Protocol):
    """Other machines, which do a run's work; `backend` says how a model is loaded there."""

    def score(self, run: SpreadRun, backend: Any, progress: Progress | None = None) -> list[Outcome]: ...


@dataclass
class DeviceWorker:
    """A process with a device, and the cell that it is at."""

    device: str
    process: BaseProcess
    pipe: Connection
    unit: WorkUnit | None = None

    @property
    def death(self) -> str:
        """How the process ended."""
        self.process.join()
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL:
            return f"the worker on {self.device} was killed, as a system does whose memory runs out"
        return f"the worker on {self.device} ended with exit code {code}"


def list_devices(text: str) -> list[str]:
    """The devices of "all" (every GPU), or of a list such as "cpu,cpu" or "0,1".  SkilldeltaError where there is none."""
    names = split_names([text])
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
    overview = WorkersOverview(progress or SilentProgress(), len(bound.units()), len(loaders))
    queue, outcomes = WorkQueue(bound.units()), dict[WorkUnit, Outcome]()
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
        while busy := {w.pipe: name for name, w in workers.items() if w.unit is not None}:
            for pipe in wait(list(busy)):
                name = busy[pipe]  # type: ignore[index]
                worker = workers[name]
                unit, message = receive(worker, bound)
                if isinstance(message, CellReport):
                    overview.take(name, message)
                    continue
                outcomes[unit] = message
                overview.end(name, message)
                if not worker.process.is_alive() and len(queue):
                    worker = start(name)
                hand_out(worker, queue)
    finally:
        for worker in workers.values():
            worker.process.terminate()
            worker.process.join()
    return [outcomes[unit] for unit in bound.units()]


def hand_out(worker: DeviceWorker, queue: WorkQueue[WorkUnit]) -> None:
    """Gives a worker its next cell, if there is one."""
    worker.unit = queue.next(worker.device) if worker.process.is_alive() else None
    if worker.unit is not None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it died just now: its pipe says so where the run waits
            worker.pipe.send(worker.unit)


def receive(worker: DeviceWorker, run: SpreadRun) -> tuple[WorkUnit, Outcome | CellReport]:
    """How far a worker's cell is, or its outcome; a failure where the worker died over it."""
    assert worker.unit is not None, "nobody waits for a worker without a cell"
    unit = worker.unit
    try:
        return unit, worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        checkpoint, task = run.checkpoints[unit.checkpoint].name, run.tasks[unit.task].name
        return unit, Outcome(checkpoint, task, "failed", why=f"{worker.death}.  The same command continues from its samples.")


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
    for unit in receive_units(pipe):
        task = unit.task
        if task not in questions:
            questions[task] = questions_or_error(run.tasks[task], run.settings)
        job = CellJob(models.get(unit.checkpoint), run.tasks[task], questions[task], run.settings)
        pipe.send(run_cell(job, run.results, ReportingProgress(pipe.send)))


def receive_units(pipe: Connection) -> Iterator[WorkUnit]:
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
