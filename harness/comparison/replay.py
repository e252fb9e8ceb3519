"""The sequential test replayed on complete results: its decisions, and the share of items it would have used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.alignment import TaskPanel
from harness.comparison.candidate_names import refuse_baseline
from harness.comparison.load import load_results
from harness.statistics.sequential_test import SequentialDecision, SequentialPlan, cluster_differences, decide
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.records import CellRecord


@dataclass(frozen=True)
class ReplayedTask:
    """The decisions on one task, one for each random order of its items."""

    task: str
    items: int
    decisions: tuple[SequentialDecision, ...]

    @property
    def share_used(self) -> float:
        """The median share of the items until the decision, 0..1."""
        return float(np.median([d.items_used for d in self.decisions])) / self.items


def replay(results: Path | str, baseline: str, candidate: str, margin: float = 0.0, orders: int = 20) -> list[ReplayedTask]:
    """Every task that both checkpoints have and that is a mean, in `orders` seeded random orders; `margin` in points.

    SkilldeltaError where no task is left, or for a margin below 0.
    """
    if not margin >= 0:
        raise SkilldeltaError(f"--margin {margin:g}: write points, 0 or more.")
    refuse_baseline([results], baseline, [candidate])
    stored_results = load_results([Path(results)], baseline, [candidate])
    stored_results.accept_differences(())
    replays = []
    for task, record in stored_results.tasks.items():
        if record.task.aggregate == "f1" or (candidate, task) not in stored_results.cells:
            continue  # an F1 is not a mean of items, so it needs all of them
        panel = TaskPanel(record, stored_results.cells[baseline, task].columns())
        pairs = panel.pair(stored_results.cells[candidate, task].columns())
        items, scale = cluster_differences(pairs.after - pairs.before, pairs.design)
        if len(items):
            plan = SequentialPlan(len(items), margin / 100 / scale)
            orderings = (np.random.default_rng(seed).permutation(items) for seed in range(orders))
            replays.append(ReplayedTask(task, len(items), tuple(decide(s, plan) for s in orderings)))
    if not replays:
        own_tasks = [task for who, task in stored_results.cells if who == candidate]
        raise SkilldeltaError(explain_nothing(stored_results.tasks, own_tasks))
    return replays


def explain_nothing(tasks: Mapping[str, CellRecord], own_tasks: Collection[str]) -> str:
    """Why no task can be replayed."""
    f1_tasks = [task for task in tasks if task in own_tasks and tasks[task].task.aggregate == "f1"]
    if f1_tasks:
        return f"Nothing can be replayed: the score of {', '.join(f1_tasks)} is an F1, which is no mean of items."
    return f"Nothing can be replayed: no item of {', '.join(tasks)} has a score of both checkpoints."
