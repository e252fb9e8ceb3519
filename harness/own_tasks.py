"""Somebody's own file of tasks: run, and what it made checked where it enters, before a model is asked."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from harness.task_folders import run_beside
from harness.types import Aggregate, Metric, SkilldeltaError, Task
from harness.visible_text import show_value

END = "Such a file ends with TASKS = (Task(...), ...)."
MAX_DRAWS = 10_000
FUNCTIONS = ("rows", "ask", "score", "ideal")
OPTIONAL_FUNCTIONS = (
    *("fewshot", "group", "cluster", "judged", "grade_ahead", "report", "prepare", "execute", "training_rows", "conditions"),
)  # fmt: skip


@dataclass(frozen=True)
class TaskValues:
    """The fields of a task that are no functions."""

    name: str
    skill: str
    version: int
    source: str
    chance: float
    aggregate: Aggregate
    positive: str
    draws: int
    pass_at: int
    criterion: str
    judge: str
    summary: str
    scores_silence: bool
    concurrent: bool


def run_task_file(file: Path) -> Sequence[Task]:
    """The tasks that somebody's file makes.  SkilldeltaError, with the line, where it fails or makes something else."""
    try:
        namespace = run_beside(file)
    except (Exception, SystemExit) as error:  # a file that exits would end the program as if all were done
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file.absolute()]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        where = f"{file}, line {line}" if line else str(file)
        raise SkilldeltaError(f"{where}, fails: {type(error).__name__}: {error}") from error
    if namespace is None:
        raise SkilldeltaError(f"{file} is not a Python file.")
    return tasks_of(namespace, file)


def tasks_of(namespace: ModuleType, file: Path) -> Sequence[Task]:
    tasks = getattr(namespace, "TASKS", None)
    if not isinstance(tasks, list | tuple) or not all(isinstance(task, Task) for task in tasks):
        raise SkilldeltaError(f"{file}: TASKS holds other things than tasks.  {END}")
    if not tasks:
        raise SkilldeltaError(f"{file}: TASKS is empty.  {END}")
    try:
        return [check_task(task) for task in tasks]
    except SkilldeltaError as error:
        raise SkilldeltaError(f"{file}: {error}") from error


def check_task(task: Task) -> Task:
    """The task, with its values as its fields' types have them.  SkilldeltaError for what no results folder could hold."""
    from harness.typed_fields import check_fields

    values = {name: getattr(task, name) for name in TaskValues.__dataclass_fields__}
    name = show_value(values["name"], 80)
    try:
        task = replace(task, **check_fields(TaskValues, values), metrics=check_metrics(task.metrics))
    except SkilldeltaError as error:
        raise SkilldeltaError(f"the task {name}: {error}") from error
    if fault := find_task_fault(task):
        raise SkilldeltaError(f"the task {name}: {fault}.")
    return task


def check_metrics(metrics: object) -> tuple[Metric, ...]:
    """The metrics of a task.  SkilldeltaError where they are none."""
    from harness.typed_fields import check_fields

    if not isinstance(metrics, list | tuple) or not all(isinstance(metric, Metric) for metric in metrics):
        raise SkilldeltaError(f"metrics is {show_value(metrics)}: write a tuple of Metric(...).")
    return tuple(replace(metric, **check_fields(Metric, vars(metric))) for metric in metrics)


def find_task_fault(task: Task) -> str:
    """What is wrong with a task whose values have the right types; "" where nothing is."""
    if not task.name.strip() or not task.name.isprintable():
        return "write a name of letters and digits on one line"
    if not 0 <= task.chance <= 1:
        return f"chance is {task.chance:g}: write the score of blind guessing, 0 to 1"
    if not 1 <= task.draws <= MAX_DRAWS:
        return f"draws is {task.draws}: write 1 to {MAX_DRAWS:,}"
    if not 0 <= task.pass_at <= task.draws:
        return f"pass_at is {task.pass_at}: write 0 to the number of draws, which is {task.draws}"
    needed = {name: getattr(task, name) for name in FUNCTIONS}
    optional = {n: function for n in OPTIONAL_FUNCTIONS if (function := getattr(task, n)) is not None}
    odd = next((item for item in (needed | optional).items() if not callable(item[1])), None)
    return f"{odd[0]} is {show_value(odd[1])}: write a function" if odd else ""
