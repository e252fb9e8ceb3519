"""A task's items in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.evaluation.questions import Question
from harness.grouping import group_by
from harness.types import Task, digest

if TYPE_CHECKING:
    from harness.store import SampleKey

Item = list[Question]  # questions that are not independent: one cluster
FIRST_LOOK = 16  # questions before the first look; every further look is at half as many more


@dataclass(frozen=True)
class ItemQueue:
    """A task's items in random order, and the weight of each question."""

    items: list[Item]
    weights: Mapping[SampleKey, float]  # of each question, as a share of the heaviest item
    scale: float  # the mean difference of items, times this, is the task's

    def blocks(self, most: int) -> Iterator[list[Item]]:
        """Items in blocks, between two looks: FIRST_LOOK questions, then half of all before, at most about `most`.

        The test may be looked at after every item.  Growing blocks ask at most half as many again as a decision needs, and
        still fill the batches of a backend once there are many.
        """
        block: list[Item] = []
        before = block_size = 0
        for item in self.items:
            block.append(item)
            block_size += len(item)
            if block_size >= max(FIRST_LOOK if not before else 1, min(before // 2, most)):
                yield block
                block, before, block_size = [], before + block_size, 0
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


def needs_every_answer(task: Task) -> bool:
    """Whether only all answers together have a score: F1, pass@k."""
    return task.aggregate == "f1" or task.pass_at > 0
