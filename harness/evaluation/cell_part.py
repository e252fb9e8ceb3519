"""A part of a task's questions, asked of a checkpoint and stored in its cell; the rest can be asked later.

task.json describes all questions, so that a later run of any kind goes on with the same cell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.evaluation.contestant import ask_questions, close_part, recall_answers
from harness.evaluation.failures import describe_failure
from harness.evaluation.lazy_model import LazyModel
from harness.evaluation.outcome import Outcome, Progress, SilentProgress
from harness.evaluation.questions import EvaluationSettings, make_questions
from harness.evaluation.task_binding import bind_tasks
from harness.types import SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.store import Results


def score_part(
    models: Sequence[LazyModel],
    tasks: Sequence[Task],
    results: Results,
    settings: EvaluationSettings,
    includes: Callable[[str], bool],
    progress: Progress | None = None,
) -> list[Outcome]:
    """Scores checkpoints on the questions about some of the examples, by their ids; a failure of one cell is its outcome."""
    listener, outcomes = progress or SilentProgress(), []
    bound = bind_tasks(tasks, settings)
    for model in models:
        for task in bound:
            outcome = score_cell_part(model, task, results, settings, includes)
            listener.end(outcome)
            outcomes.append(outcome)
        model.model = None
    return outcomes


def score_cell_part(
    model: LazyModel, task: Task, results: Results, settings: EvaluationSettings, includes: Callable[[str], bool]
) -> Outcome:
    """One checkpoint on one task."""
    start, name = time.monotonic(), model.checkpoint.name
    try:
        if model.checkpoint.problem:
            raise SkilldeltaError(model.checkpoint.problem)
        questions = make_questions(task, settings)
        part = [question for question in questions if includes(question.example.id)]
        contestant = recall_answers(model, task, questions, results, settings)
        is_stored = all(question.key in contestant.scores for question in part)
        ask_questions(contestant, task, questions, part, results, settings)
        close_part(contestant, questions)
    except Exception as error:  # noqa: BLE001  any failure of one cell is reported with its reason, never raised over the others
        why = describe_failure(error, results.cell(name, task.name).folder)
        return Outcome(name, task.name, "failed", why=why, seconds=time.monotonic() - start)
    scores = [contestant.scores[question.key] for question in part]
    seconds = time.monotonic() - start
    return Outcome(name, task.name, "already" if is_stored else "done", len(scores), scores.count(None), seconds=seconds)
