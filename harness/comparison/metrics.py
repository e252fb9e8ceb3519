"""Further metrics of a task: ratios of sums over samples, with intervals, alone and paired."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.comparison.alignment import Panel
from harness.comparison.result import Extra
from harness.comparison.sample_table import Columns
from harness.statistics.estimate import Design, Floats, Interval, quantile, spread, wilson
from harness.types import Json

POINTS = 100


def metrics(panel: Panel, columns: Columns, level: float) -> tuple[Extra, ...]:
    """Every further metric of the task for one checkpoint; with the difference, where it is not the baseline."""
    found = []
    for metric in panel.task["metrics"]:
        if not is_known(metric, columns):
            continue
        extra = alone(metric, panel, columns, level)
        if columns is not panel.baseline and is_known(metric, panel.baseline):
            extra = paired(metric, extra, panel, columns, level)
        found.append(extra)
    return tuple(found)


def is_known(metric: Json, columns: Columns) -> bool:
    return metric["part"] in columns.parts and (not metric["over"] or metric["over"] in columns.parts)


def halves(metric: Json, columns: Columns) -> tuple[Floats, Floats]:
    """What is summed above and below the line, for each sample; nothing of samples that lack it or are of another group."""
    top = columns.parts[metric["part"]]
    bottom = columns.parts[metric["over"]] if metric["over"] else np.ones(len(top))
    mine = np.array([not metric["group"] or g == metric["group"] for g in columns.group])
    there = mine & ~np.isnan(top) & ~np.isnan(bottom)
    return np.where(there, top, 0.0), np.where(there, bottom, 0.0)


def ratio(top: Floats, bottom: Floats) -> tuple[float, Floats]:
    """A ratio of sums, and the influence of each sample: (top - ratio bottom) / sum of bottom (Cochran 1977, 6.3)."""
    total = float(bottom.sum())
    if total == 0:
        return float("nan"), np.zeros(len(top))
    value = float(top.sum()) / total
    return value, (top - value * bottom) / total


def around(value: float, influence: Floats, design: Design, level: float) -> Interval:
    """Student's t around the cluster-robust variance, in points."""
    known = spread(influence, Design(design.cluster, np.zeros_like(design.group)))
    half = quantile(level, known.freedom) * float(np.sqrt(known.variance))
    return Interval(POINTS * (value - half), POINTS * (value + half))


def share(value: float, counted: Floats, known: tuple[Floats, Design], level: float) -> Interval:
    """A ratio that is a share (each sample adds at most what it counts): Wilson with the effective number of samples.

    As for scores: Korn and Graubard (1998), p(1-p)/variance; at 0 or 1, where the variance says nothing, the clusters.
    """
    influence, design = known
    found = spread(influence, Design(design.cluster, np.zeros_like(design.group)))
    if 0 < value < 1 and found.variance > 0:
        size, critical = value * (1 - value) / found.variance, quantile(level, found.freedom)
    else:
        size = float(len(np.unique(design.cluster[counted > 0])))
        critical = quantile(level, max(size - 1, 1.0))
    if not size:
        return Interval(0.0, POINTS)
    bounds = wilson(value, size, critical)
    return Interval(POINTS * bounds.low, POINTS * bounds.high)


def alone(metric: Json, panel: Panel, columns: Columns, level: float) -> Extra:
    top, bottom = halves(metric, columns)
    value, influence = ratio(top, bottom)
    design = panel.design_of(columns)
    if bool(np.all((top >= 0) & (top <= bottom) & (bottom <= 1))) and not np.isnan(value):
        interval = share(value, bottom, (influence, design), level)
    else:
        interval = around(value, influence, design, level)
    return Extra(metric["name"], POINTS * value, interval.low, interval.high, metric["lower_is_better"])


def paired(metric: Json, extra: Extra, panel: Panel, columns: Columns, level: float) -> Extra:
    """The metric with its difference to the baseline, on the samples that both have."""
    old, new = panel.align(columns)
    before, before_influence = ratio(*(x[old] for x in halves(metric, panel.baseline)))
    after, after_influence = ratio(*(x[new] for x in halves(metric, columns)))
    rows = np.zeros(len(panel.baseline.keys), np.bool_)
    rows[old] = True
    interval = around(after - before, after_influence - before_influence, panel.design.take(rows), level)
    delta: Mapping[str, float] = {
        "delta": POINTS * (after - before), "delta_low": interval.low, "delta_high": interval.high
    }  # fmt: skip
    return Extra(extra.name, extra.value, extra.low, extra.high, extra.lower_is_better, **delta)
