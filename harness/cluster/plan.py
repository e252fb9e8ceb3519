"""What a run would cost, before it begins: its cells, device seconds from measured rates, memory, and who does what when."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from harness.cluster.measured_rates import NOT_MEASURED, CostEstimate, MeasuredRates, weights_size
from harness.evaluation.cell_identity import identify_cell
from harness.evaluation.lazy_model import LazyModel, Loader
from harness.evaluation.questions import Question, choose_reader, is_generated
from harness.evaluation.run import questions_or_error
from harness.evaluation.task_binding import bind_tasks
from harness.evaluation.work_queue import WorkQueue, WorkUnit
from harness.types import SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.evaluation.workers import SpreadRun

CellState = Literal["open", "done", "refused"]


@dataclass(frozen=True)
class CellPlan:
    """A cell of the plan: `questions` are those that are not stored yet."""

    unit: WorkUnit
    state: CellState
    questions: int = 0
    estimate: CostEstimate = NOT_MEASURED
    why: str = ""  # a refusal


@dataclass(frozen=True)
class WorkerShare:
    """What one worker does, in order; `seconds`: when it is ready, as far as cells were measured."""

    checkpoints: tuple[int, ...]
    cells: int
    seconds: float


@dataclass(frozen=True)
class RunPlan:
    """A run's cells in its order; `sizes`: bytes of each checkpoint's weights as saved, 0 where they are not known."""

    run: SpreadRun
    cells: tuple[CellPlan, ...]
    sizes: tuple[int, ...]

    def open_cells(self) -> list[CellPlan]:
        return [cell for cell in self.cells if cell.state == "open"]

    def device_seconds(self) -> float:
        """Of the cells that are left, as far as they were measured."""
        return sum(cell.estimate.seconds or 0.0 for cell in self.open_cells())

    def unmeasured_tasks(self) -> list[str]:
        tasks = {cell.unit.task for cell in self.open_cells() if cell.estimate.seconds is None}
        return [self.run.tasks[task].name for task in sorted(tasks)]

    def shares(self, workers: int) -> list[WorkerShare]:
        """What each of so many workers would do, by the work queue's rule, a cell at a time."""
        queue = WorkQueue(cell.unit for cell in self.open_cells())
        seconds = {cell.unit: cell.estimate.seconds or 0.0 for cell in self.open_cells()}
        shares = [WorkerShare((), 0, 0.0) for _ in range(workers)]
        ready = [(0.0, worker) for worker in range(workers)]
        while ready:
            moment, worker = heapq.heappop(ready)
            unit = queue.next(str(worker))
            if unit is None:
                continue
            share = shares[worker]
            order = share.checkpoints if unit.checkpoint in share.checkpoints[-1:] else (*share.checkpoints, unit.checkpoint)
            shares[worker] = WorkerShare(order, share.cells + 1, moment + seconds[unit])
            heapq.heappush(ready, (moment + seconds[unit], worker))
        return shares


def plan_run(run: SpreadRun, loader: Loader, rates: MeasuredRates) -> RunPlan:
    """The plan of a run; no model is loaded.  SkilldeltaError for settings that fit no task."""
    bound = replace(run, tasks=bind_tasks(run.tasks, run.settings))
    questions = [questions_or_error(task, run.settings) for task in bound.tasks]
    models = [LazyModel(checkpoint, loader) for checkpoint in bound.checkpoints]
    sizes = tuple(map(weights_size, bound.checkpoints))
    cells = []
    for unit in bound.units():
        cell = plan_cell(bound, unit, models[unit.checkpoint], questions[unit.task])
        if cell.state == "open":
            estimate = rates.estimate(bound.tasks[unit.task].name, cell.questions, sizes[unit.checkpoint])
            cell = replace(cell, estimate=estimate)
        cells.append(cell)
    return RunPlan(bound, tuple(cells), sizes)


def plan_cell(run: SpreadRun, unit: WorkUnit, model: LazyModel, questions: list[Question] | SkilldeltaError) -> CellPlan:
    """Whether a cell is to be asked, and how many questions."""
    task: Task = run.tasks[unit.task]
    try:
        if model.checkpoint.problem:
            raise SkilldeltaError(model.checkpoint.problem)
        if isinstance(questions, SkilldeltaError):
            raise questions
        cell = run.results.cell(model.checkpoint.name, task.name)
        before = cell.record()
        reader = choose_reader(run.settings.reader, is_generated(questions), before)
        identity = identify_cell(model, task, questions, reader)
        if run.settings.ask_again and before and identity.differences(before):
            return CellPlan(unit, "open", len(questions))
        if identity.is_done(before, cell):
            return CellPlan(unit, "done")
        count = count_stored(questions, {s.key for s in cell.samples()} if before else set())
        return CellPlan(unit, "open", len(questions) - count)
    except SkilldeltaError as error:
        return CellPlan(unit, "refused", why=str(error))


def count_stored(questions: Sequence[Question], keys: set[tuple[str, int]]) -> int:
    return sum(question.key in keys for question in questions)
