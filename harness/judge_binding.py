"""Gives a task its judge.  A task names one and knows nothing of it; it is loaded before the first response is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness import fingerprint, registry
from harness.types import Example, Judge, Response, Score, SkilldeltaError, Task, unknown_name

NONE = "none"
NO_VERDICT = "the judge gave no verdict"
WAY_OUT = (
    "Name another judge with --judge TASK=PLUGIN:WHERE (`skilldelta list judges`), or keep the responses without a score with "
    "--judge TASK=none, and grade them later with `skilldelta rescore`."
)
NO_JUDGE = "no judge: name one with `skilldelta rescore RESULTS --judge TASK=PLUGIN:WHERE`"


def unjudged_score(example: Example, response: Response) -> Score:
    """The score() of a task that needs a judge: none, until it has one."""
    return Score(None, why=NO_JUDGE)


def parse_judges(choices: Iterable[str]) -> dict[str, str]:
    """["toxigen=classifier:FOLDER"] as {task: judge}; "none" keeps responses without a score."""
    found = {}
    for choice in choices:
        task, equals, judge = choice.partition("=")
        if not (task and equals and judge):
            raise SkilldeltaError(
                f"--judge {choice}: write TASK=PLUGIN:WHERE, such as toxigen=classifier:FOLDER, or TASK=none."
            )
        found[task] = judge
    return found


def bind_judges(tasks: Iterable[Task], chosen: Mapping[str, str]) -> list[Task]:
    """Each task with its judge, see bind(); a judge for none of them is refused."""
    bound = [bind_judge(task, chosen) for task in tasks]
    if stray := sorted(set(chosen) - {task.name for task in bound}):
        raise SkilldeltaError(
            f"A judge is named for {', '.join(stray)}, but the tasks here are: {', '.join(task.name for task in bound)}."
        )
    return bound


def bind_judge(task: Task, chosen: Mapping[str, str]) -> Task:
    """The task with its judge: the one that `chosen` names for it, or its own.  Without need of one, the task as it is.

    The bound task's `judge` tells what graded, by content where it lies in a folder, so that scores of different judges are
    never compared unawares.
    """
    if task.judged is None:
        if task.name in chosen:
            raise SkilldeltaError(f"The task {task.name!r} is scored by rules and takes no judge.")
        return task
    spec = chosen.get(task.name, task.judge)
    if spec == NONE:
        return replace(task, judge="", score=unjudged_score)
    judge = LazyJudge(spec)
    return replace(task, judge=judge.identity, score=partial(task.judged, judge), prepare=judge.get)


class LazyJudge:
    """A judge that is loaded when it is needed; a wrong name is refused at once."""

    def __init__(self, spec: str) -> None:
        self.plugin, _, self.where = spec.partition(":")
        known = registry.modules("judges")
        if self.plugin not in known:
            raise unknown_name("judge", self.plugin, [*known, NONE])
        self.module = registry.module("judges", self.plugin)  # light: what is heavy, it imports when it loads
        self.loaded: Judge | None = None

    @property
    def identity(self) -> str:
        """What graded: as the plug-in tells it, else by the content of what it is loaded from."""
        identity = getattr(self.module, "identity", content_identity)
        return f"{self.plugin}:{identity(self.where)}"

    def get(self) -> Judge:
        if self.loaded is None:
            try:
                self.loaded = self.module.load(self.where)
            except SkilldeltaError as error:
                raise SkilldeltaError(f"{error}\n{WAY_OUT}") from error
        return self.loaded

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        return self.get().grade(prompt, response, reference)


def content_identity(where: str) -> str:
    """What a judge is made from: the hash of a file's or a folder's content, or the name of what lies elsewhere."""
    path = Path(where)
    if where and path.is_dir():
        return fingerprint.files(sorted(p for p in path.iterdir() if p.is_file()))
    return fingerprint.files([path]) if where and path.is_file() else where


def parse_preference(recorded: float | None) -> float | None:
    """From 1 (the reference) to 2 (the answer), or 0 for a draw, as AlpacaEval writes it; given as 0..1."""
    if recorded is None or math.isnan(recorded):
        return None
    return 0.5 if recorded == 0 else recorded - 1.0
