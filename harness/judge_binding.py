"""Binds a task to its judge.  A task only names one; the judge is loaded before the first question is asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness import registry
from harness.file_hashes import content_identity
from harness.grading.bound_judge import BoundJudge, report_of
from harness.grading.questions import NO_VERDICT as NO_VERDICT
from harness.types import Example, Json, Judge, Response, Score, SkilldeltaError, Task, unknown_name

NONE = "none"
ALL = "all"  # --judge all=...: for every task that needs a judge and has none named
WAY_OUT = (
    "Name another judge with --judge TASK=PLUGIN:WHERE (`skilldelta list judges`), or keep the responses without a score with "
    "--judge TASK=none, and grade them later with `skilldelta rescore`."
)
NO_JUDGE = "no judge: name one with `skilldelta rescore RESULTS --judge TASK=PLUGIN:WHERE`"


def unjudged_score(example: Example, response: Response) -> Score:
    """The score() of a task that needs a judge: none, until it has one."""
    return Score(None, why=NO_JUDGE)


def parse_judges(choices: Iterable[str]) -> dict[str, str]:
    """["toxigen=classifier:FOLDER"] as {task: judge}; "none" keeps responses without a score, and "all" is every task."""
    judges = {}
    for choice in choices:
        task, equals, judge = choice.partition("=")
        if not (task and equals and judge):
            raise SkilldeltaError(
                f"--judge {choice}: write TASK=PLUGIN:WHERE, such as toxigen=classifier:FOLDER, or TASK=none; TASK may be all."
            )
        judges[task] = judge
    return judges


def bind_judges(tasks: Iterable[Task], judges: Mapping[str, str]) -> list[Task]:
    """Each task with its judge, see bind_judge().  SkilldeltaError for a judge of a task that is not among them."""
    bound_tasks = [bind_judge(task, judges) for task in tasks]
    names = [task.name for task in bound_tasks]
    if stray := sorted(set(judges) - {*names, ALL}):
        raise SkilldeltaError(f"A judge is named for {', '.join(stray)}, but the tasks here are: {', '.join(names)}.")
    return bound_tasks


def bind_judge(task: Task, judges: Mapping[str, str]) -> Task:
    """The task with its judge: the one that `judges` names for it, or its own; a task that rules score stays as it is.

    The bound task's `judge` identifies what graded, by content where it lies in a folder, so that `compare` notices when two
    results had different judges.
    """
    if task.judged is None:
        if task.name in judges:
            raise SkilldeltaError(f"The task {task.name!r} is scored by rules and takes no judge.")
        return task
    spec = judges.get(task.name, judges.get(ALL, task.judge))
    if spec == NONE:
        return replace(task, judge="", score=unjudged_score)
    judge = LazyJudge(spec)
    bound = BoundJudge(judge.get, task.judged)
    return replace(
        task,
        judge=judge.identity,
        score=bound.score,
        grade_ahead=bound.grade_ahead,
        prepare=judge.get,
        report=lambda: {**bound.memory.take_work(), **judge.errors(task.criterion)},
    )


class LazyJudge:
    """A judge that is loaded when it is needed.  SkilldeltaError at once for a name that does not exist."""

    def __init__(self, spec: str) -> None:
        self.plugin, _, self.where = spec.partition(":")
        plugins = registry.modules("judges")
        if self.plugin not in plugins:
            raise unknown_name("judge", self.plugin, [*plugins, NONE])
        self.module = registry.module("judges", self.plugin)  # cheap: a plug-in imports heavy libraries in load()
        self.judge: Judge | None = None

    @property
    def identity(self) -> str:
        """What graded: as the plug-in identifies it, else by the content of what it is loaded from."""
        identity = getattr(self.module, "identity", content_identity)
        return f"{self.plugin}:{identity(self.where)}"

    def get(self) -> Judge:
        if self.judge is None:
            try:
                self.judge = self.module.load(self.where)
            except SkilldeltaError as error:
                raise SkilldeltaError(f"{error}\n{WAY_OUT}") from error
        return self.judge

    def errors(self, criterion: str) -> Json:
        """The criterion, and the "errors" that judge-check has measured for it, if any; {} without one."""
        from harness.grading.stored_checks import find_errors  # only with a judge at work

        errors = find_errors(self.identity, criterion) if criterion else {}
        return ({"criterion": criterion} if criterion else {}) | ({"errors": errors} if errors else {})

    def report(self, criterion: str) -> Json:
        """What the judge's work took since the last time, and its errors."""
        return {**report_of(self.judge), **self.errors(criterion)}


def parse_preference(preference: float | None) -> float | None:
    """From 1 (the reference) to 2 (the answer), or 0 for a draw, as AlpacaEval writes it, to 0..1; None for no verdict."""
    if preference is None or math.isnan(preference):
        return None
    return 0.5 if preference == 0 else preference - 1.0
