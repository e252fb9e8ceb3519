"""Tasks with what scores their answers: a judge, or the sandbox that runs programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from harness.judge_binding import bind_judges
from harness.types import Task

if TYPE_CHECKING:
    from harness.evaluation.questions import EvaluationSettings


def bind_tasks(tasks: Iterable[Task], settings: EvaluationSettings) -> list[Task]:
    """The tasks with their judges, and with the sandbox that runs programs for them.

    SkilldeltaError for an unknown judge, and for a judge of a task that is not among them.
    """
    bound_tasks = bind_judges(tasks, settings.judges)
    return [replace(t, score=partial(t.execute, settings.sandbox)) if t.execute else t for t in bound_tasks]
