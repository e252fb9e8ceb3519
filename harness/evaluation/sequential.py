"""Asks checkpoints and their baseline in turn until each task is decided: better, worse, or the same within a margin.

Stores samples as the ordinary loop does; scoring the same folder later asks what was left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np

from harness.evaluation.questions import EvaluationSettings, Question, bind_tasks, choose_reader, make_questions
from harness.evaluation.run import LazyModel, identify_cell, is_generated, new_record, store_context
from harness.evaluation.scoring import collect_samples
from harness.grouping import group_by
from harness.prompts.reading import Reader
from harness.records import SequentialVerdict, utc_now
from harness.statistics.aggregates import Floats
from harness.statistics.sequential_test import ALPHA, SequentialDecision, SequentialPlan, decide
from harness.store import Cell, Key, Results, SampleWriter
from harness.types import SkilldeltaError, Task, digest

Item = list[Question]  # questions that are not independent: one cluster
FIRST_LOOK = 16  # questions before the first look; every further look is at half as many more


@dataclass(frozen=True)
class ItemQueue:
    """A task's items in random order, and the weight of each question."""

    items: list[Item]
    weights: Mapping[Key, float]  # of each question, as a share of the heaviest item
    scale: float  # the mean difference of items, times this, is the task's

    def blocks(self, most: int) -> Iterator[list[Item]]:
        """Items gathered to blocks between two looks: FIRST_LOOK questions, then half of all before, at most about `most`.

        The test may be looked at after every item.  Growing blocks ask at most half as many again as a decision needs, and
        still fill the batches of a backend once there are many.
        """
        block: list[Item] = []
        before = gathered = 0
        for item in self.items:
            block.append(item)
            gathered += len(item)
            if gathered >= max(FIRST_LOOK if not before else 1, min(before // 2, most)):
                yield block
                block, before, gathered = [], before + gathered, 0
        if block:
            yield block


def queue_items(task: Task, questions: Sequence[Question], seed: int) -> ItemQueue:
    """The questions as items, in an order that depends on the seed and the items' names alone."""
    items = group_by(questions, lambda q: task.cluster(q.example) if task.cluster else q.example.id)
    groups = [task.group(q.example) if task.group and task.aggregate == "macro" else "" for q in questions]
    sizes = {g: groups.count(g) for g in set(groups)}
    weights = {q.key: 1 / (len(sizes) * sizes[g]) for q, g in zip(questions, groups, strict=True)}
    heaviest = max(sum(weights[q.key] for q in item) for item in items.values())
    order = sorted(items, key=lambda name: digest([seed, name]))
    shares = {key: weight / heaviest for key, weight in weights.items()}
    return ItemQueue([items[name] for name in order], shares, heaviest * len(items))


@dataclass
class Contestant:
    """A checkpoint at work on one task; `decision`: a candidate's, against the baseline."""

    model: LazyModel
    cell: Cell
    scores: dict[Key, float | None] = field(default_factory=dict)
    reader: Reader | None = None
    decision: SequentialDecision | None = None

    def begin(self, task: Task, questions: Sequence[Question], results: Results, settings: EvaluationSettings) -> SampleWriter:
        """Opens the cell.  SkilldeltaError where it is finished with other questions or another checkpoint."""
        store_context(results, self.model, task, questions)
        before = self.cell.record()
        self.reader = choose_reader(settings.reader, is_generated(questions), before)
        is_done = identify_cell(self.model, task, questions, self.reader).is_done(before, self.cell)
        record = None if is_done else new_record(task, questions, self.model, settings.sandbox, self.reader)
        writer = SampleWriter(self.cell)
        try:
            if record:
                self.cell.begin(record)
            self.scores = {(s.example, s.draw): s.score.value for s in self.cell.samples()}
        except BaseException:
            writer.close()
            raise
        return writer

    def ask(self, task: Task, questions: Sequence[Question], writer: SampleWriter) -> None:
        """Asks what it was not asked yet."""
        for sample in collect_samples(task, self.model.get(), questions, set(self.scores), self.reader):
            writer.append(sample)
            self.scores[sample.example, sample.draw] = sample.score.value


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
            undecided = [c for c in candidates if c.decision is None or c.decision.verdict == "unclear"]
            if not undecided:
                break
            for contestant in (baseline, *undecided):
                contestant.ask(task, [q for item in block for q in item], writers[id(contestant)])
            items += block
            for candidate in undecided:
                differences = np.zeros(0) if needs_every_answer(task) else item_differences(queue, items, baseline, candidate)
                # What counts is how many were asked: up to the end of the block in which the decision fell.
                candidate.decision = replace(decide(differences, plan), items_used=len(items))
        for writer in writers.values():
            writer.sort([q.key for q in questions])
    return close_cells(task, queue, contestants, len(questions))


def close_cells(
    task: Task, queue: ItemQueue, contestants: Sequence[Contestant], question_count: int
) -> list[SequentialVerdict]:
    """Stores each candidate's verdict; the baseline, whose answers serve all of them, keeps the one that took longest."""
    baseline, *candidates = contestants
    verdicts = [describe_decision(task, c.model.checkpoint.name, c.decision, queue) for c in candidates if c.decision]
    longest = max(verdicts, key=lambda verdict: verdict.used)
    for contestant, verdict in ((baseline, longest), *zip(candidates, verdicts, strict=True)):
        is_complete = len(contestant.scores) == question_count
        contestant.cell.update(state="done" if is_complete else "decided", finished=utc_now(), decision=verdict)
    return verdicts


def needs_every_answer(task: Task) -> bool:
    """Whether only all answers together have a score: F1, pass@k."""
    return task.aggregate == "f1" or task.pass_at > 0


def item_differences(queue: ItemQueue, items: Sequence[Item], baseline: Contestant, candidate: Contestant) -> Floats:
    """[items] candidate minus baseline; a question that one of them has no score for counts as no difference."""
    differences = []
    for item in items:
        total = 0.0
        for question in item:
            old, new = baseline.scores.get(question.key), candidate.scores.get(question.key)
            if old is not None and new is not None:
                total += queue.weights[question.key] * (new - old)
        differences.append(total)
    return np.array(differences)


def describe_decision(task: Task, candidate: str, decision: SequentialDecision, queue: ItemQueue) -> SequentialVerdict:
    """The decision in points of the task's score."""
    points = 100 * queue.scale
    low, high = (max(-100.0, min(100.0, points * x)) for x in (decision.interval.low, decision.interval.high))
    why = "its score is no mean of answers: all of them were asked" if needs_every_answer(task) else ""
    return SequentialVerdict(
        task=task.name, candidate=candidate, verdict=decision.verdict, used=decision.items_used, items=len(queue.items),
        delta=points * decision.delta, low=low, high=high, why=why,
    )  # fmt: skip
