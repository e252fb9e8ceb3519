"""Ratios of sums over samples, for metrics such as the share of refusals: value, influences, interval."""

from __future__ import annotations

import numpy as np

from harness.statistics.aggregates import Design, Floats, Interval, Ints
from harness.statistics.estimate import critical_value, robust_variance, wilson_interval


def ratio(top: Floats, bottom: Floats) -> tuple[float, Floats]:
    """sum(top) / sum(bottom), and the influence of each sample on it; all arrays are [samples].

    By linearisation the influence is (top - ratio * bottom) / sum(bottom) (Cochran 1977, 6.3).  NaN where nothing is counted.
    """
    total = float(bottom.sum())
    if total == 0:
        return float("nan"), np.zeros(len(top))
    value = float(top.sum()) / total
    return value, (top - value * bottom) / total


def student_interval(value: float, influence: Floats, cluster: Ints, level: float) -> Interval:
    """Student's t interval around the cluster-robust variance of `influence` [samples], in the unit of `value`."""
    variance = robust_variance(influence, Design(cluster, np.zeros_like(cluster)))
    half = critical_value(level, variance.freedom) * float(np.sqrt(variance.value))
    return Interval(value - half, value + half)


def share_interval(value: float, influence: Floats, weight: Floats, cluster: Ints, level: float) -> Interval:
    """Wilson's interval of a ratio that is a share, where each sample adds at most what it counts (`bottom` in 0..1).

    The effective number of samples is p(1-p)/variance, as for scores (Korn and Graubard 1998).  At 0 and at 1 the variance
    is 0 and says nothing; there the number of clusters that count stands in for it.
    """
    variance = robust_variance(influence, Design(cluster, np.zeros_like(cluster)))
    if 0 < value < 1 and variance.value > 0:
        size, critical = value * (1 - value) / variance.value, critical_value(level, variance.freedom)
    else:
        size = float(len(np.unique(cluster[weight > 0])))
        critical = critical_value(level, max(size - 1, 1.0))
    return wilson_interval(value, size, critical) if size else Interval(0.0, 1.0)
