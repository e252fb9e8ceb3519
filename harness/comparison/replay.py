"""The sequential test replayed on complete results: its decisions, and the share of items it would have used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.comparison.alignment import TaskPanel
from harness.comparison.candidate_names import refuse_baseline
from harness.comparison.load import load_results
from harness.statistics.sequential_test import SequentialDecision, SequentialPlan, cluster_differences, decide


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
    """Every task that both checkpoints have and that is a mean, in `orders` seeded random orders; `margin` in points."""
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
    return replays
