"""One task, as several checkpoints did on it: columns brought onto one footing, scores with intervals, paired differences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.comparison.sample_table import SampleTable
from harness.records import CellRecord
from harness.statistics import paired
from harness.statistics.aggregates import Design, Floats, Ints, influences
from harness.statistics.estimate import Interval, score_interval, unscored_bounds


@dataclass(frozen=True)
class MeasuredScore:
    """One checkpoint's own score on a task."""

    n: int
    score: float
    interval: Interval
    bounds: Interval
    influences: Floats = field(default_factory=lambda: np.zeros(0))  # [clusters of the task]


@dataclass
class NameCodes:
    """Names as numbers, the same number for the same name in every checkpoint's columns."""

    codes: dict[str, int] = field(default_factory=dict)

    def encode(self, names: Iterable[str]) -> Ints:
        return np.array([self.codes.setdefault(n, len(self.codes)) for n in names], np.int64)


class TaskPanel:
    """All columns of one task.  `record` is the baseline's task.json; the baseline's columns come first."""

    def __init__(self, record: CellRecord, baseline: SampleTable) -> None:
        self.task = record.task
        self.clusters, self.groups = NameCodes(), NameCodes()
        self.baseline = baseline
        self.row_of_key = {key: i for i, key in enumerate(baseline.keys)}
        self.design = self.make_design(baseline)

    def make_design(self, columns: SampleTable) -> Design:
        positive = self.groups.codes.setdefault(self.task.positive, len(self.groups.codes))
        clusters, groups = self.clusters.encode(columns.cluster), self.groups.encode(columns.group)
        return Design(clusters, groups, self.task.aggregate, positive)

    def design_of(self, columns: SampleTable) -> Design:
        """The design of a checkpoint's columns; the baseline's own where they have the same rows, which is the rule."""
        return self.design if columns.keys == self.baseline.keys else self.make_design(columns)

    def measure(self, columns: SampleTable, level: float) -> MeasuredScore:
        design, present = self.design_of(columns), ~np.isnan(columns.score)
        scores, kept_design = columns.score[present], subset_design(design, present)
        score, influence = influences(scores, kept_design) if len(scores) else (float("nan"), scores)
        cluster_influences = np.bincount(kept_design.cluster, weights=influence, minlength=len(self.clusters.codes)).astype(
            np.float64
        )
        return MeasuredScore(
            len(scores),
            score,
            score_interval(scores, kept_design, level),
            unscored_bounds(columns.score, design),
            cluster_influences,
        )

    def matching_rows(self, columns: SampleTable) -> tuple[Ints, Ints]:
        """Rows of the baseline, and of `columns`, that hold the same example and draw."""
        if columns.keys == self.baseline.keys:
            every_row = np.arange(len(columns.keys))
            return every_row, every_row
        pairs = [(self.row_of_key[key], i) for i, key in enumerate(columns.keys) if key in self.row_of_key]
        pairs.sort()
        return np.array([a for a, _ in pairs], np.int64), np.array([b for _, b in pairs], np.int64)

    def compare(self, columns: SampleTable, level: float) -> TaskDifference:
        """The paired difference to the baseline, with contributions laid out over all clusters of the task."""
        old, new = self.matching_rows(columns)
        before, after = self.baseline.score[old], columns.score[new]
        both = ~(np.isnan(before) | np.isnan(after))
        rows = np.zeros(len(self.baseline.keys), np.bool_)
        rows[old[both]] = True
        design = subset_design(self.design, rows)
        delta = paired.paired_difference(before[both], after[both], design, level)
        laid_out = np.zeros(int(self.design.cluster.max()) + 1)
        laid_out[np.unique(design.cluster)] = delta.contributions
        unpaired_count = len(self.baseline.keys) + len(columns.keys) - 2 * len(old) + int(np.sum(~both))
        return TaskDifference(delta, laid_out, unpaired_count)


@dataclass(frozen=True)
class TaskDifference:
    """A paired difference; `contributions` [clusters of the task]; `missing` samples that have no partner or no score."""

    delta: paired.PairedDifference
    contributions: Floats
    missing: int
    noise: float | None = None  # share of the items whose score changes when they are asked again; None: not measured


def subset_design(design: Design, rows: npt.NDArray[np.bool_]) -> Design:
    """The design of some rows; the same object where it is all of them, so that what it knows is worked out once."""
    return design if bool(rows.all()) else design.subset(rows)
