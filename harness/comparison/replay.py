"""What the sequential test would have needed on results that are all there: its decision and its saving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.comparison.alignment import Panel
from harness.comparison.load import gather
from harness.comparison.sample_table import Columns
from harness.statistics.estimate import Design, Floats
from harness.statistics.sequential_test import Decision, Plan, decide


@dataclass(frozen=True)
class Replayed:
    """One task, in several random orders of its items."""

    task: str
    items: int
    decisions: tuple[Decision, ...]

    @property
    def used(self) -> float:
        """The median share of the items that a decision took."""
        return float(np.median([d.used for d in self.decisions])) / self.items


def replay(results: Path | str, baseline: str, candidate: str, margin: float = 0.0, orders: int = 20) -> list[Replayed]:
    """Every task that both have and that is a mean, as if its items had come in, in `orders` seeded random orders.

    `margin` in points.
    """
    stored = gather([Path(results)], baseline, [candidate])
    stored.admit(())
    found = []
    for task, about in stored.tasks.items():
        if about["task"]["aggregate"] == "f1" or (candidate, task) not in stored.cells:
            continue  # an F1 is no mean of items: it takes all of them
        panel = Panel(about, stored.cells[baseline, task].columns())
        items, scale = differences(panel, stored.cells[candidate, task].columns())
        if len(items):
            plan = Plan(len(items), margin / 100 / scale)
            shuffled = (np.random.default_rng(seed).permutation(items) for seed in range(orders))
            found.append(Replayed(task, len(items), tuple(decide(s, plan) for s in shuffled)))
    return found


def differences(panel: Panel, columns: Columns) -> tuple[Floats, float]:
    """[items] in [-1, 1]: the difference of each cluster, weighted so that their mean times `scale` is that of the task."""
    old, new = panel.align(columns)
    before, after = panel.baseline.score[old], columns.score[new]
    both = ~(np.isnan(before) | np.isnan(after))
    rows = np.zeros(len(panel.baseline.keys), np.bool_)
    rows[old[both]] = True
    return weighted(after[both] - before[both], panel.design.take(rows))


def weighted(change: Floats, design: Design) -> tuple[Floats, float]:
    """Differences of clusters as shares of the largest that one could make."""
    if len(change) == 0:
        return change, 1.0
    weight = 1 / (len(design.sizes) * design.sizes)[design.strata]
    most = float(np.bincount(design.clusters, weights=weight).max())
    items = np.bincount(design.clusters, weights=weight * change) / most
    return items, most * len(items)
