"""Further metrics of a task: ratios of sums over samples, with intervals, alone and paired."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.result import MetricValue
from harness.statistics.aggregates import Floats
from harness.statistics.ratio import ratio, share_interval, student_interval
from harness.types import Metric

if TYPE_CHECKING:
    from harness.comparison.alignment import TaskPanel
    from harness.comparison.sample_table import SampleTable

POINTS = 100


def measure_metrics(panel: TaskPanel, columns: SampleTable, level: float) -> tuple[MetricValue, ...]:
    """Every further metric of the task for one checkpoint, in points; with the difference, where it is not the baseline."""
    values = []
    for metric in panel.task.metrics:
        if not has_parts(metric, columns):
            continue
        value = metric_value(metric, panel, columns, level)
        if columns is not panel.baseline and has_parts(metric, panel.baseline):
            value = add_difference(metric, value, panel, columns, level)
        values.append(value)
    return tuple(values)


def has_parts(metric: Metric, columns: SampleTable) -> bool:
    return metric.part in columns.parts and (not metric.over or metric.over in columns.parts)


def numerator_and_denominator(metric: Metric, columns: SampleTable) -> tuple[Floats, Floats]:
    """[samples] each: what the metric sums above and below the line; 0 for samples that lack it or are of another group."""
    top = columns.parts[metric.part]
    bottom = columns.parts[metric.over] if metric.over else np.ones(len(top))
    in_group = np.array([not metric.group or g == metric.group for g in columns.group])
    present = in_group & ~np.isnan(top) & ~np.isnan(bottom)
    return np.where(present, top, 0.0), np.where(present, bottom, 0.0)


def metric_value(metric: Metric, panel: TaskPanel, columns: SampleTable, level: float) -> MetricValue:
    """The metric of one checkpoint; Wilson's interval where it is a share, Student's otherwise."""
    top, bottom = numerator_and_denominator(metric, columns)
    value, influence = ratio(top, bottom)
    cluster = panel.design_of(columns).cluster
    if bool(np.all((top >= 0) & (top <= bottom) & (bottom <= 1))) and not np.isnan(value):
        interval = share_interval(value, influence, bottom, cluster, level)
    else:
        interval = student_interval(value, influence, cluster, level)
    return MetricValue(metric.name, POINTS * value, POINTS * interval.low, POINTS * interval.high, metric.lower_is_better)


def add_difference(metric: Metric, value: MetricValue, panel: TaskPanel, columns: SampleTable, level: float) -> MetricValue:
    """The metric with its difference to the baseline, on the samples that both have."""
    old, new = panel.matching_rows(columns)
    before, before_influence = ratio(*(x[old] for x in numerator_and_denominator(metric, panel.baseline)))
    after, after_influence = ratio(*(x[new] for x in numerator_and_denominator(metric, columns)))
    cluster = panel.design.cluster[old]
    interval = student_interval(after - before, after_influence - before_influence, cluster, level)
    low, high = POINTS * interval.low, POINTS * interval.high
    return replace(value, delta=POINTS * (after - before), delta_low=low, delta_high=high)
