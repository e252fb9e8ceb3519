"""One task under several checkpoints: samples aligned with the baseline's, scores with intervals, paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.comparison.sample_table import SampleTable
from harness.records import CellRecord
from harness.statistics import paired
from harness.statistics.aggregates import Design, Floats, Interval, Ints, influences
from harness.statistics.cluster_layout import ClusterLayout
from harness.statistics.estimate import ScoreEstimate, estimate_score, unscored_bounds
from harness.statistics.weighted_means import RowSums

if TYPE_CHECKING:
    from harness.store import SampleKey


@dataclass(frozen=True)
class MeasuredScore:
    """One checkpoint's own score on a task, 0..1; `bounds`: with every unscored sample counted wrong, and counted right."""

    n: int
    score: float
    interval: Interval
    bounds: Interval
    influences: Floats = field(default_factory=lambda: np.zeros(0))  # [clusters of the task]
    estimate: ScoreEstimate | None = None  # of a task: what its interval is made of
    rows: RowSums | None = None  # its influences row by row, where tasks share rows
    layout: ClusterLayout | None = None  # of a task: how its clusters vary


@dataclass
class NameCodes:
    """Names as numbers: the same number for the same name in every checkpoint's table."""

    codes: dict[str, int] = field(default_factory=dict)

    def encode(self, names: Sequence[str]) -> Ints:
        """[names]: their numbers; new names are numbered in their alphabetical order, whatever the order of rows."""
        for name in sorted(set(names) - self.codes.keys()):
            self.codes[name] = len(self.codes)
        return np.array([self.codes[n] for n in names], np.int64)


@dataclass(frozen=True)
class PairedScores:
    """Scores [n] of the samples that both sides have a score for, with their keys and design.

    `missing`: samples of one side that have no partner, or no score on one side.
    """

    before: Floats
    after: Floats
    keys: list[SampleKey]
    design: Design
    missing: int


class TaskPanel:
    """The sample tables of one task, aligned with the baseline's; `record` is the baseline's task.json."""

    def __init__(self, record: CellRecord, baseline: SampleTable) -> None:
        self.record, self.task = record, record.task
        self.clusters, self.groups = NameCodes(), NameCodes()
        self.baseline = baseline
        self.row_of_key = {key: i for i, key in enumerate(baseline.keys)}
        self.design = self.make_design(baseline)

    def make_design(self, columns: SampleTable) -> Design:
        positive = self.groups.codes.setdefault(self.task.positive, len(self.groups.codes))
        clusters, groups = self.clusters.encode(columns.cluster), self.groups.encode(columns.group)
        return Design(clusters, groups, self.task.aggregate, positive)

    def design_of(self, columns: SampleTable) -> Design:
        """The design of a checkpoint's samples; the baseline's own where they have the same rows, as they mostly do."""
        return self.design if columns.keys == self.baseline.keys else self.make_design(columns)

    def measure(self, columns: SampleTable, level: float) -> MeasuredScore:
        """A checkpoint's own score, over the samples that have one."""
        design = self.design_of(columns)
        scores, scored_design = self.scored_samples(columns)
        score, influence = influences(scores, scored_design) if len(scores) else (float("nan"), scores)
        per_cluster = np.bincount(scored_design.cluster, weights=influence, minlength=len(self.clusters.codes))
        estimate, bounds = estimate_score(scores, scored_design, level), unscored_bounds(columns.score, design)
        layout = ClusterLayout.of_design(scored_design, len(per_cluster))
        influence_of = per_cluster.astype(np.float64)
        return MeasuredScore(len(scores), score, estimate.interval, bounds, influence_of, estimate, layout=layout)

    def scored_samples(self, columns: SampleTable) -> tuple[Floats, Design]:
        """The scores that are there, and their design."""
        present = ~np.isnan(columns.score)
        return columns.score[present], subset_design(self.design_of(columns), present)

    def matching_rows(self, columns: SampleTable) -> tuple[Ints, Ints]:
        """[n] each: the rows of the baseline, and of `columns`, that hold the same example and draw."""
        if columns.keys == self.baseline.keys:
            every_row = np.arange(len(columns.keys))
            return every_row, every_row
        pairs = sorted((self.row_of_key[key], i) for i, key in enumerate(columns.keys) if key in self.row_of_key)
        return np.array([a for a, _ in pairs], np.int64), np.array([b for _, b in pairs], np.int64)

    def pair(self, columns: SampleTable) -> PairedScores:
        """The samples that the baseline and `columns` both have a score for, in the baseline's order."""
        old, new = self.matching_rows(columns)
        before, after = self.baseline.score[old], columns.score[new]
        both = ~(np.isnan(before) | np.isnan(after))
        rows = np.zeros(len(self.baseline.keys), np.bool_)
        rows[old[both]] = True
        missing = len(self.baseline.keys) + len(columns.keys) - 2 * len(old) + int(np.sum(~both))
        keys = [self.baseline.keys[i] for i in old[both]]
        return PairedScores(before[both], after[both], keys, subset_design(self.design, rows), missing)

    def compare(self, columns: SampleTable, level: float) -> TaskDifference:
        """The paired difference to the baseline."""
        pairs = self.pair(columns)
        delta = paired.paired_difference(pairs.before, pairs.after, pairs.design, level)
        # Candidates may lack different clusters: over all clusters of the task their contributions can be stacked.
        contributions = np.zeros(int(self.design.cluster.max(initial=-1)) + 1)
        contributions[np.unique(pairs.design.cluster)] = delta.contributions
        return TaskDifference(delta, contributions, pairs.missing)


@dataclass(frozen=True)
class GradedChange:
    """A difference of grades, without the judge's errors: its interval, and the smallest one that is detected 4 times in 5."""

    interval: Interval
    detectable: float


@dataclass(frozen=True)
class TaskDifference:
    """A paired difference with its contributions [clusters of the task]; `missing` as in PairedScores.

    `error_factor`: by how much a judge's errors, and noise in 0/1 scores, stretch the standard error.  `graded`: the difference
    before a judge's errors were counted; `is_decidable`: whether these leave anything to be shown by however many items.
    """

    delta: paired.PairedDifference
    contributions: Floats
    missing: int
    noise: float | None = None  # share of items whose score changes when they are answered again; None: not measured
    error_factor: float = 1.0
    graded: TaskDifference | None = None
    is_decidable: bool = True

    def detectable(self, level: float) -> float:
        """The smallest true difference that such data detect 4 times in 5, by a judge that errs where one graded them."""
        own = self.delta.detectable(level)
        return min(1.0, own * self.error_factor) if self.error_factor > 1 else own

    def graded_change(self, level: float) -> GradedChange | None:
        """The difference of a judge's grades; None where its errors are not measured, or rules score."""
        if self.graded is None:
            return None
        detectable = self.graded.detectable(level) if self.is_decidable else float("inf")
        return GradedChange(self.graded.delta.interval, detectable)


def subset_design(design: Design, rows: npt.NDArray[np.bool_]) -> Design:
    """The design of some rows; the same object where it is all rows, so that its cached properties are computed once."""
    return design if bool(rows.all()) else design.subset(rows)
