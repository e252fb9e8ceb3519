"""Ratios of sums over samples, for metrics such as the share of instructions that were followed, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.statistics import power
from harness.statistics.aggregates import Design, Floats, Interval, Ints, cluster_sums, critical_value
from harness.statistics.estimate import Variance, bounded_estimate, kish_size, robust_variance
from harness.statistics.pseudo_observations import least_sign_flip_p, pseudo_square, student_p


@dataclass(frozen=True)
class Ratio:
    """sum(top) / sum(bottom); arrays [samples].  `is_share`: every sample adds at most what it counts, so it is in 0..1."""

    top: Floats
    bottom: Floats

    @property
    def value(self) -> float:
        """NaN where nothing is counted."""
        total = float(self.bottom.sum())
        return float(self.top.sum()) / total if total else float("nan")

    @property
    def is_share(self) -> bool:
        return bool(np.all((self.top >= 0) & (self.top <= self.bottom)))

    @property
    def influences(self) -> Floats:
        """[samples]: (top - ratio * bottom) / sum(bottom), by linearisation (Cochran 1977, 6.3)."""
        total = float(self.bottom.sum())
        return (self.top - self.value * self.bottom) / total if total else np.zeros(len(self.top))

    def whole_cluster(self, cluster: Ints) -> float:
        """What a cluster adds to the ratio if it changes as a whole: its weight, times the largest top where it is no share."""
        counts = cluster_sums(cluster, self.bottom)
        counts = counts[counts > 0]
        scale = 1.0 if self.is_share else float(np.abs(self.top).max()) or 1.0
        return scale * float(np.sqrt(np.mean(counts**2))) / float(counts.sum()) if len(counts) else 1.0


def ratio_interval(ratio: Ratio, cluster: Ints, level: float) -> Interval:
    """The interval of one ratio: that of a mean in 0..1 where it is a share; otherwise Student's with pseudo-observations."""
    value = ratio.value
    if np.isnan(value):
        return Interval(0.0, 1.0) if ratio.is_share else Interval(float("nan"), float("nan"))
    if ratio.is_share:
        size = kish_size(cluster_sums(cluster, ratio.bottom))
        return bounded_estimate(value, ratio_variance(ratio.influences, cluster), size, level).interval
    variance = guard_variance(ratio.influences, cluster, ratio.whole_cluster(cluster))
    half_width = critical_value(level, variance.freedom) * float(np.sqrt(variance.value))
    return Interval(value - half_width, value + half_width)


@dataclass(frozen=True)
class RatioDifference:
    """The paired difference of two ratios, in their unit; `detectable` 4 times in 5."""

    value: float
    interval: Interval
    p: float
    detectable: float


def ratio_difference(before: Ratio, after: Ratio, cluster: Ints, level: float) -> RatioDifference:
    """after - before of the same samples; cut to -1..1 where both are shares.

    p is Student's, and at least what sign flips of the clusters that changed could prove.
    """
    value = after.value - before.value
    is_share = before.is_share and after.is_share
    if np.isnan(value):
        interval = Interval(-1.0, 1.0) if is_share else Interval(float("nan"), float("nan"))
        return RatioDifference(value, interval, float("nan"), float("nan"))
    change = after.influences - before.influences
    whole = max(before.whole_cluster(cluster), after.whole_cluster(cluster))
    variance = guard_variance(change, cluster, whole)
    error = float(np.sqrt(variance.value))
    half_width = critical_value(level, variance.freedom) * error
    low, high = value - half_width, value + half_width
    interval = Interval(max(-1.0, low), min(1.0, high)) if is_share else Interval(low, high)
    # Influences are centred: a change of every sample by the same leaves none, and a change of few moves all a little.
    distance = np.abs(after.top - before.top) + np.abs(after.bottom - before.bottom)
    p = student_p(value, error, variance.freedom, least_sign_flip_p(cluster_sums(cluster, distance)))
    detectable = power.detectable_from_error(error, variance.freedom, level=level)
    return RatioDifference(value, interval, p, min(1.0, detectable) if is_share else detectable)


def ratio_variance(influence: Floats, cluster: Ints) -> Variance:
    """The cluster-robust variance of a ratio from its influences [samples]."""
    return robust_variance(influence, Design(cluster, np.zeros_like(cluster)))


def guard_variance(influence: Floats, cluster: Ints, whole: float) -> Variance:
    """The cluster-robust variance with two pseudo-observations; with a single cluster that of a whole change."""
    variance = ratio_variance(influence, cluster)
    if np.isnan(variance.value):
        return Variance(whole**2, 1.0)
    return Variance(variance.value + 2 * pseudo_square(cluster_sums(cluster, influence), whole), variance.freedom)
