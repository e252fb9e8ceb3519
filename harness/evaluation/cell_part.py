"""A part of a task's questions, asked of a checkpoint and stored in its cell; the rest can be asked later.

task.json describes all questions, so that a later run of any kind goes on with the same cell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.differences import describe_differences
from harness.evaluation.questions import EvaluationSettings, Question, bind_tasks, choose_reader, make_questions
from harness.evaluation.run import LazyModel, Outcome, Progress, SilentProgress, identify_cell, is_generated
from harness.evaluation.sequential import Contestant
from harness.records import utc_now
from harness.store import Results, SampleWriter
from harness.types import SkilldeltaError, Task


def recall_answers(
    model: LazyModel, task: Task, questions: Sequence[Question], results: Results, settings: EvaluationSettings
) -> Contestant:
    """What is stored of a task; no model is loaded.  SkilldeltaError where it was asked for otherwise."""
    cell = results.cell(model.checkpoint.name, task.name)
    before = cell.record()
    reader = choose_reader(settings.reader, is_generated(questions), before)
    if before and (unlike := identify_cell(model, task, questions, reader).differences(before)):
        raise SkilldeltaError(describe_differences(cell.folder, unlike))
    scores = {(s.example, s.draw): s.score.value for s in cell.samples()} if before else {}
    return Contestant(model, cell, scores)


def ask_questions(
    contestant: Contestant,
    task: Task,
    questions: Sequence[Question],
    part: Sequence[Question],
    results: Results,
    settings: EvaluationSettings,
) -> None:
    """Asks what is not stored yet of `part`, which is some of the task's `questions`."""
    if all(question.key in contestant.scores for question in part):
        return
    if task.prepare:
        task.prepare()
    with contestant.begin(task, questions, results, settings) as writer:
        contestant.ask(task, part, writer)


def close_part(contestant: Contestant, questions: Sequence[Question]) -> None:
    """Puts the samples into the order of the questions; a cell that does not hold all of them is `decided`, not `done`."""
    if not contestant.scores:
        return
    with SampleWriter(contestant.cell) as writer:
        writer.sort([question.key for question in questions])
    state = "done" if len(contestant.scores) == len(questions) else "decided"
    contestant.cell.update(state=state, finished=utc_now())


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
        why = str(error) if isinstance(error, SkilldeltaError) else f"{type(error).__name__}: {error}"
        return Outcome(name, task.name, "failed", why=why, seconds=time.monotonic() - start)
    scores = [contestant.scores[question.key] for question in part]
    seconds = time.monotonic() - start
    return Outcome(name, task.name, "already" if is_stored else "done", len(scores), scores.count(None), seconds=seconds)
