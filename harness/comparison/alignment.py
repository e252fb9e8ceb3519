"""One task, as several checkpoints did on it: columns brought onto one footing, scores with intervals, paired differences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.comparison.sample_table import Columns
from harness.statistics import paired
from harness.statistics.estimate import Design, Floats, Interval, Ints, bounds, influences, score_interval
from harness.types import Json


@dataclass(frozen=True)
class Measured:
    """One checkpoint's own score on a task."""

    n: int
    score: float
    interval: Interval
    bounds: Interval
    influences: Floats = field(default_factory=lambda: np.zeros(0))  # [clusters of the task]


@dataclass
class Codes:
    """Names as numbers, the same number for the same name in every checkpoint's columns."""

    known: dict[str, int] = field(default_factory=dict)

    def of(self, names: Iterable[str]) -> Ints:
        return np.array([self.known.setdefault(n, len(self.known)) for n in names], np.int64)


class Panel:
    """All columns of one task.  `about` is the baseline's task.json; the baseline's columns come first."""

    def __init__(self, about: Json, baseline: Columns) -> None:
        self.task: Json = about["task"]
        self.clusters, self.groups = Codes(), Codes()
        self.baseline = baseline
        self.place = {key: i for i, key in enumerate(baseline.keys)}
        self.design = self.describe(baseline)

    def describe(self, columns: Columns) -> Design:
        positive = self.groups.known.setdefault(self.task["positive"], len(self.groups.known))
        clusters, groups = self.clusters.of(columns.cluster), self.groups.of(columns.group)
        return Design(clusters, groups, self.task["aggregate"], positive)

    def design_of(self, columns: Columns) -> Design:
        """The design of a checkpoint's columns; the baseline's own where they have the same rows, which is the rule."""
        return self.design if columns.keys == self.baseline.keys else self.describe(columns)

    def measure(self, columns: Columns, level: float) -> Measured:
        design, there = self.design_of(columns), ~np.isnan(columns.score)
        scores, kept = columns.score[there], take(design, there)
        score, each = influences(scores, kept) if len(scores) else (float("nan"), scores)
        moves = np.bincount(kept.cluster, weights=each, minlength=len(self.clusters.known)).astype(np.float64)
        return Measured(len(scores), score, score_interval(scores, kept, level), bounds(columns.score, design), moves)

    def align(self, columns: Columns) -> tuple[Ints, Ints]:
        """Rows of the baseline, and of `columns`, that hold the same example and draw."""
        if columns.keys == self.baseline.keys:
            everything = np.arange(len(columns.keys))
            return everything, everything
        both = [(self.place[key], i) for i, key in enumerate(columns.keys) if key in self.place]
        both.sort()
        return np.array([a for a, _ in both], np.int64), np.array([b for _, b in both], np.int64)

    def compare(self, columns: Columns, level: float) -> Paired:
        """The paired difference to the baseline, with contributions laid out over all clusters of the task."""
        old, new = self.align(columns)
        before, after = self.baseline.score[old], columns.score[new]
        both = ~(np.isnan(before) | np.isnan(after))
        rows = np.zeros(len(self.baseline.keys), np.bool_)
        rows[old[both]] = True
        design = take(self.design, rows)
        delta = paired.delta(before[both], after[both], design, level)
        spread = np.zeros(int(self.design.cluster.max()) + 1)
        spread[np.unique(design.cluster)] = delta.contributions
        apart = len(self.baseline.keys) + len(columns.keys) - 2 * len(old) + int(np.sum(~both))
        return Paired(delta, spread, apart)


@dataclass(frozen=True)
class Paired:
    """A paired difference; `contributions` [clusters of the task]; `missing` samples that have no partner or no score."""

    delta: paired.Delta
    contributions: Floats
    missing: int
    noise: float | None = None  # share of the items whose score changes when they are asked again; None: not measured


def take(design: Design, rows: npt.NDArray[np.bool_]) -> Design:
    """The design of some rows; the same object where it is all of them, so that what it knows is worked out once."""
    return design if bool(rows.all()) else design.take(rows)
