"""Further metrics of a task: ratios of sums over samples, with intervals, alone and paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.comparison.result import MetricValue
from harness.statistics.aggregates import Design, Floats, Ints
from harness.statistics.estimate import estimate_score
from harness.statistics.paired import PairedDifference, paired_difference
from harness.statistics.ratio import Ratio, RatioDifference, ratio_difference, ratio_interval
from harness.types import Metric

if TYPE_CHECKING:
    from harness.comparison.alignment import TaskPanel
    from harness.comparison.sample_table import SampleTable

POINTS = 100
NUMBERS = ("value", "low", "high", "delta", "delta_low", "delta_high", "mde")  # of a MetricValue, in one unit


def measure_metrics(
    panel: TaskPanel, columns: SampleTable, level: float, metrics: Sequence[Metric] | None = None
) -> tuple[MetricValue, ...]:
    """Every further metric of the task for one checkpoint, in points; with the difference, where it is not the baseline.

    `metrics`: others than the task's own.
    """
    values = []
    for metric in panel.task.metrics if metrics is None else metrics:
        if not has_parts(metric, columns):
            continue
        value = metric_value(metric, panel, columns, level)
        if columns is not panel.baseline and has_parts(metric, panel.baseline):
            value = add_difference(metric, value, panel, columns, level)
        values.append(value)
    return tuple(values)


def has_parts(metric: Metric, columns: SampleTable) -> bool:
    return metric.part in columns.parts and (not metric.over or metric.over in columns.parts)


def is_score(metric: Metric, columns: SampleTable) -> bool:
    """Whether a metric's values are the scores of all samples."""
    if metric.over or metric.group or metric.part not in columns.parts:
        return False
    return bool(np.array_equal(columns.parts[metric.part], columns.score, equal_nan=True))


@dataclass(frozen=True)
class MetricRows:
    """What samples add to a metric above and below the line; `counts`: which belong to its group and have a value."""

    top: Floats
    bottom: Floats
    counts: npt.NDArray[np.bool_]
    in_group: npt.NDArray[np.bool_]

    def subset(self, rows: Ints | npt.NDArray[np.bool_]) -> MetricRows:
        return MetricRows(self.top[rows], self.bottom[rows], self.counts[rows], self.in_group[rows])

    @property
    def is_mean(self) -> bool:
        """Whether the metric is a plain mean of values in 0..1 over the samples that count."""
        top, bottom = self.top[self.counts], self.bottom[self.counts]
        return bool(np.all(((bottom == 0) & (top == 0)) | ((bottom == 1) & (top >= 0) & (top <= 1))))

    @property
    def ratio(self) -> Ratio:
        return Ratio(self.top[self.counts], self.bottom[self.counts])

    def f1_scores(self, design: Design) -> Floats | None:
        """[samples that count]: the right decisions, where this is another F1 of a task of that kind; None where it is not.

        A positive item adds 2 TP above and 1 + TP below the line, another one nothing above and FP below.
        """
        positive = (design.group == design.positive)[self.counts]
        top, bottom = self.top[self.counts], self.bottom[self.counts]
        scores = np.where(positive, top / 2, 1 - bottom)
        fits = (
            (bottom == 1 + np.where(positive, scores, -scores)) & (top == 2 * scores * positive) & (scores >= 0) & (scores <= 1)
        )
        return scores if design.aggregate == "f1" and positive.any() and bool(fits.all()) else None


def rows_of_metric(metric: Metric, columns: SampleTable) -> MetricRows:
    """[samples]: the rows of a metric; those without a value do not count."""
    top = columns.parts[metric.part]
    bottom = columns.parts[metric.over] if metric.over else np.ones(len(top))
    in_group = np.array([not metric.group or g == metric.group for g in columns.group], np.bool_)
    return MetricRows(top, bottom, in_group & ~np.isnan(top) & ~np.isnan(bottom), in_group)


def metric_value(metric: Metric, panel: TaskPanel, columns: SampleTable, level: float) -> MetricValue:
    """The metric of one checkpoint: with the interval of a score where it is a mean, otherwise that of a ratio."""
    rows, design = rows_of_metric(metric, columns), panel.design_of(columns)
    cluster, decisions = design.cluster, rows.f1_scores(design)
    if rows.is_mean:
        scored_rows = rows.counts & (rows.bottom == 1)
        estimate = estimate_score(rows.top[scored_rows], plain_design(cluster[scored_rows]), level)
        value, interval = estimate.score, estimate.interval
    elif decisions is not None:
        estimate = estimate_score(decisions, design.subset(rows.counts), level)
        value, interval = estimate.score, estimate.interval
    else:
        value, interval = rows.ratio.value, ratio_interval(rows.ratio, cluster[rows.counts], level)
    return MetricValue(metric.name, POINTS * value, POINTS * interval.low, POINTS * interval.high, metric.lower_is_better)


def add_difference(metric: Metric, value: MetricValue, panel: TaskPanel, columns: SampleTable, level: float) -> MetricValue:
    """The metric with its difference to the baseline, on the samples for which both have a value.

    Where both count the same samples it is the paired difference of a score, with that one's interval and test.
    """
    old_rows, new_rows = panel.matching_rows(columns)
    old, new = rows_of_metric(metric, panel.baseline).subset(old_rows), rows_of_metric(metric, columns).subset(new_rows)
    both = old.counts & new.counts
    members = [int(rows_of_metric(metric, table).in_group.sum()) for table in (panel.baseline, columns)]
    # Of matched samples those without a value on one side, and every sample without a partner: one that was not asked yet.
    missing = int(np.sum(old.in_group & ~both)) + sum(members) - int(old.in_group.sum()) - int(new.in_group.sum())
    old, new, cluster = old.subset(both), new.subset(both), panel.design.cluster[old_rows][both]
    design = replace(panel.design, cluster=cluster, group=panel.design.group[old_rows][both])
    decisions = old.f1_scores(design), new.f1_scores(design)
    if old.is_mean and new.is_mean and np.array_equal(old.bottom, new.bottom):
        rows = old.bottom == 1
        delta = paired_difference(old.top[rows], new.top[rows], plain_design(cluster[rows]), level)
        difference, pairs = as_ratio(delta, level), delta.n
    elif decisions[0] is not None and decisions[1] is not None:
        delta = paired_difference(decisions[0], decisions[1], design, level)
        difference, pairs = as_ratio(delta, level), delta.n
    else:
        difference, pairs = ratio_difference(old.ratio, new.ratio, cluster, level), int(both.sum())
    return replace(
        value, delta=POINTS * difference.value, delta_low=POINTS * difference.interval.low,
        delta_high=POINTS * difference.interval.high, p=difference.p, mde=POINTS * difference.detectable,
        pairs=pairs, missing=missing,
    )  # fmt: skip


def as_ratio(delta: PairedDifference, level: float) -> RatioDifference:
    return RatioDifference(delta.value, delta.interval, delta.quick_p(), delta.detectable(level))


def plain_design(cluster: Ints) -> Design:
    """A plain mean of samples in clusters."""
    return Design(cluster, np.zeros_like(cluster))


def divide_value(value: MetricValue, divisor: float) -> MetricValue:
    """The value in another unit: every number that it has, divided."""
    numbers = {name: getattr(value, name) for name in NUMBERS}
    return replace(value, **{name: number / divisor for name, number in numbers.items() if number is not None})
