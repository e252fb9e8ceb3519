"""Asks checkpoints and their baseline in turn until each task is decided: better, worse, or the same within a margin.

Stores samples as the ordinary loop does; scoring the same folder later asks what was left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.evaluation.contestant import Contestant
from harness.evaluation.item_queues import Item, ItemQueue, needs_every_answer, queue_items
from harness.evaluation.lazy_model import LazyModel
from harness.evaluation.questions import EvaluationSettings, make_questions
from harness.evaluation.task_binding import bind_tasks
from harness.records import SequentialVerdict, utc_now
from harness.statistics.aggregates import Floats
from harness.statistics.decision import MAX_UNSCORED
from harness.statistics.sequential_test import ALPHA, SequentialDecision, SequentialPlan, decide
from harness.types import SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.store import Results


def compare_in_turn(
    models: Sequence[LazyModel], tasks: Sequence[Task], results: Results, settings: EvaluationSettings
) -> Iterator[SequentialVerdict]:
    """Asks the baseline, which is the first of `models`, and the candidates until each task is decided for each of them.

    The candidates share the error of 5 % evenly, so that any of them is called better or worse by chance that often at most.
    SkilldeltaError where one of them cannot be loaded.
    """
    for model in models:
        if model.checkpoint.problem:
            raise SkilldeltaError(f"{model.checkpoint.name}: {model.checkpoint.problem}")
    for task in bind_tasks(tasks, settings):
        yield from compare_on_task(models, task, results, settings)


def compare_on_task(
    models: Sequence[LazyModel], task: Task, results: Results, settings: EvaluationSettings
) -> list[SequentialVerdict]:
    """Asks until the task is decided for every candidate, or everything was asked; a decided one is asked no more."""
    questions = make_questions(task, settings)
    queue = queue_items(task, questions, settings.seed)
    plan = SequentialPlan(len(queue.items), settings.margin / 100 / queue.scale, ALPHA / max(len(models) - 1, 1))
    contestants = [Contestant(model, results.cell(model.checkpoint.name, task.name)) for model in models]
    baseline, *candidates = contestants
    with ExitStack() as stack:
        writers = {id(c): stack.enter_context(c.begin(task, questions, results, settings)) for c in contestants}
        items: list[Item] = []
        for block in queue.blocks(max(model.get().block for model in models)):
            contenders = [c for c in candidates if c.decision is None or c.decision.verdict == "unclear"]
            if not contenders:
                break
            for contestant in (baseline, *contenders):
                contestant.ask(task, [q for item in block for q in item], writers[id(contestant)])
            items += block
            for candidate in contenders:
                differences = np.zeros(0) if needs_every_answer(task) else item_differences(queue, items, baseline, candidate)
                # What counts is how many were asked: up to the end of the block in which the decision fell.
                decision = replace(decide(differences, plan), items_used=len(items))
                candidate.decision = replace(decision, verdict="unclear") if lacks_scores(differences) else decision
                candidate.unscored_items = int(np.isnan(differences).sum())
        for writer in writers.values():
            writer.sort([q.key for q in questions])
    return close_cells(task, queue, contestants, len(questions))


def close_cells(
    task: Task, queue: ItemQueue, contestants: Sequence[Contestant], question_count: int
) -> list[SequentialVerdict]:
    """Stores each candidate's verdict; the baseline, whose answers serve all of them, keeps the one that took longest."""
    baseline, *candidates = contestants
    verdicts = [
        describe_decision(task, c.model.checkpoint.name, c.decision, queue, c.unscored_items) for c in candidates if c.decision
    ]
    longest = max(verdicts, key=lambda verdict: verdict.used)
    for contestant, verdict in ((baseline, longest), *zip(candidates, verdicts, strict=True)):
        is_complete = len(contestant.scores) == question_count
        contestant.cell.update(state="done" if is_complete else "decided", finished=utc_now(), decision=verdict)
    return verdicts


def item_differences(queue: ItemQueue, items: Sequence[Item], baseline: Contestant, candidate: Contestant) -> Floats:
    """[items] candidate minus baseline, from the questions that both have a score for; NaN where there are none."""
    differences = []
    for item in items:
        changes: list[tuple[float, float]] = []  # the weight of a question, and its difference
        for question in item:
            old, new = baseline.scores.get(question.key), candidate.scores.get(question.key)
            if old is not None and new is not None:
                changes.append((queue.weights[question.key], new - old))
        scale = sum(queue.weights[q.key] for q in item) / (sum(weight for weight, _ in changes) or np.nan)
        differences.append(scale * sum(weight * change for weight, change in changes))
    return np.array(differences)


def lacks_scores(differences: Floats) -> bool:
    """Whether so many items lack a score on one side that the others decide nothing."""
    return bool(len(differences)) and float(np.isnan(differences).mean()) > MAX_UNSCORED


def describe_decision(
    task: Task, candidate: str, decision: SequentialDecision, queue: ItemQueue, unscored: int = 0
) -> SequentialVerdict:
    """The decision in points of the task's score; `unscored`: items that lack a score on one side."""
    points = 100 * queue.scale
    low, high = (max(-100.0, min(100.0, points * x)) for x in (decision.interval.low, decision.interval.high))
    why = "its score is no mean of answers: all of them were asked" if needs_every_answer(task) else ""
    if unscored > MAX_UNSCORED * decision.items_used:
        why = f"{unscored} of {decision.items_used} items have no score on one side"
    return SequentialVerdict(
        task=task.name, candidate=candidate, verdict=decision.verdict, used=decision.items_used, items=len(queue.items),
        delta=points * decision.delta, low=low, high=high, why=why,
    )  # fmt: skip
