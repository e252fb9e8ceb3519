"""Asks two checkpoints item by item, in turn, until each task is decided: better, worse, or the same within a margin.

Stores samples as the ordinary loop does; scoring the same folder later asks what was left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from harness.evaluation.questions import EvaluationSettings, Question, bind_tasks, choose_reader, make_questions
from harness.evaluation.run import LazyModel, is_generated, is_same_cell, new_record, store_context
from harness.evaluation.scoring import collect_samples
from harness.grouping import group_by
from harness.prompts.reading import Reader
from harness.records import SequentialVerdict, utc_now
from harness.statistics.aggregates import Floats
from harness.statistics.sequential_test import SequentialDecision, SequentialPlan, decide
from harness.store import Cell, Key, Results, SampleWriter
from harness.types import SkilldeltaError, Task, digest

Item = list[Question]  # questions that are not independent: one cluster
Pair = tuple[LazyModel, LazyModel]  # baseline, candidate


@dataclass(frozen=True)
class ItemQueue:
    """A task's items in random order, and the weight of each question."""

    items: list[Item]
    weights: Mapping[Key, float]  # of each question, as a share of the heaviest item
    scale: float  # the mean difference of items, times this, is the task's

    def blocks(self, size: int) -> Iterator[list[Item]]:
        """Items gathered to about `size` questions at once."""
        block: list[Item] = []
        for item in self.items:
            block.append(item)
            if sum(map(len, block)) >= size:
                yield block
                block = []
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
    """One of the two checkpoints, at work on one task."""

    model: LazyModel
    cell: Cell
    scores: dict[Key, float | None] = field(default_factory=dict)
    reader: Reader | None = None

    def begin(self, task: Task, questions: Sequence[Question], results: Results, settings: EvaluationSettings) -> SampleWriter:
        """Opens the cell.  SkilldeltaError where it is finished with other questions or another checkpoint."""
        store_context(results, self.model, task, questions)
        before = self.cell.record()
        self.reader = choose_reader(settings.reader, is_generated(questions), before)
        if before is None or before.state != "done":
            self.cell.begin(new_record(task, questions, self.model, settings.sandbox, self.reader))
        elif not is_same_cell(before, task, questions, self.model.fingerprint, self.reader):
            raise SkilldeltaError(f"{self.cell.folder} holds other samples: score into another folder (-o).")
        self.scores = {(s.example, s.draw): s.score.value for s in self.cell.samples()}
        return SampleWriter(self.cell)

    def ask(self, task: Task, questions: Sequence[Question], writer: SampleWriter) -> None:
        """Asks what it was not asked yet."""
        for sample in collect_samples(task, self.model.get(), questions, set(self.scores), self.reader):
            writer.append(sample)
            self.scores[sample.example, sample.draw] = sample.score.value


def compare_in_turn(
    pair: Pair, tasks: Sequence[Task], results: Results, settings: EvaluationSettings
) -> Iterator[SequentialVerdict]:
    """Asks both of `pair` until each task is decided.

    SkilldeltaError where one of the two cannot be loaded.
    """
    for model in pair:
        if model.checkpoint.problem:
            raise SkilldeltaError(f"{model.checkpoint.name}: {model.checkpoint.problem}")
    for task in bind_tasks(tasks, settings):
        yield compare_on_task(pair, task, results, settings)


def compare_on_task(pair: Pair, task: Task, results: Results, settings: EvaluationSettings) -> SequentialVerdict:
    """Asks both until the task is decided, or everything was asked."""
    questions = make_questions(task, settings)
    queue = queue_items(task, questions, settings.seed)
    plan = SequentialPlan(len(queue.items), settings.margin / 100 / queue.scale)
    contestants = [Contestant(model, results.cell(model.checkpoint.name, task.name)) for model in pair]
    decision = SequentialDecision("unclear", 0, plan.items, 0.0, decide(np.zeros(0), plan).interval)
    items: list[Item] = []
    with ExitStack() as stack:
        writers = [stack.enter_context(c.begin(task, questions, results, settings)) for c in contestants]
        for block in queue.blocks(max(model.get().block for model in pair)):
            for contestant, writer in zip(contestants, writers, strict=True):
                contestant.ask(task, [q for item in block for q in item], writer)
            items += block
            if not needs_every_answer(task):
                decision = decide(item_differences(queue, items, contestants), plan)
                if decision.verdict != "unclear":
                    break
        for writer in writers:
            writer.sort([q.key for q in questions])
    verdict = describe_decision(task, decision, len(items), queue)
    for contestant in contestants:
        is_complete = len(contestant.scores) == len(questions)
        contestant.cell.update(state="done" if is_complete else "decided", finished=utc_now(), decision=verdict)
    return verdict


def needs_every_answer(task: Task) -> bool:
    """Whether only all answers together have a score: F1, pass@k."""
    return task.aggregate == "f1" or task.pass_at > 0


def item_differences(queue: ItemQueue, items: Sequence[Item], contestants: Sequence[Contestant]) -> Floats:
    """[items] candidate minus baseline; a question that one of them has no score for counts as no difference."""
    differences = []
    for item in items:
        total = 0.0
        for question in item:
            old, new = (contestant.scores.get(question.key) for contestant in contestants)
            if old is not None and new is not None:
                total += queue.weights[question.key] * (new - old)
        differences.append(total)
    return np.array(differences)


def describe_decision(task: Task, decision: SequentialDecision, item_count: int, queue: ItemQueue) -> SequentialVerdict:
    """The decision in points of the task's score."""
    points = 100 * queue.scale
    low, high = (max(-100.0, min(100.0, points * x)) for x in (decision.interval.low, decision.interval.high))
    why = "its score is no mean of answers: all of them were asked" if needs_every_answer(task) else ""
    return SequentialVerdict(
        task=task.name, verdict=decision.verdict, used=item_count, items=len(queue.items),
        delta=points * decision.delta, low=low, high=high, why=why,
    )  # fmt: skip
