"""Weighted sums of independent estimates: a skill of its tasks, the average of its skills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.statistics import sign_flip_test
from harness.statistics.aggregates import Floats, Interval

NullSums = npt.NDArray[np.float32]  # [draws]


@dataclass(frozen=True)
class Component:
    """A difference, or a weighted sum of differences, with all that testing it needs.  Units: 0..1."""

    value: float
    interval: Interval
    contributions: Floats  # [clusters]: their sum is the difference
    sums: NullSums  # the difference under random signs

    @property
    def half_width(self) -> float:
        return (self.interval.high - self.interval.low) / 2

    @property
    def null_sd(self) -> float:
        """The standard deviation of the difference under random signs."""
        return float(np.sqrt(np.sum(self.contributions**2)))

    def test(self) -> sign_flip_test.PValue:
        return sign_flip_test.two_sided_p(self.contributions, self.sums)


def weighted_mean(values: Sequence[float], intervals: Sequence[Interval], weights: Sequence[float]) -> tuple[float, Interval]:
    """A weighted sum of independent estimates, with half_width = sqrt(sum of (weight * half_width_i)^2).

    The variances are recovered from the intervals (MOVER, Zou and Donner 2008), so a sum of tasks keeps the care that each
    interval takes of few samples and rare changes.  Both sides get the same width, since skew fades in a sum.
    """
    if len(values) == 1 and weights[0] == 1:
        return values[0], intervals[0]
    total = float(np.dot(weights, values))
    half_widths = np.array([(i.high - i.low) / 2 for i in intervals])
    half_width = float(np.sqrt(np.sum((np.array(weights) * half_widths) ** 2)))
    return total, Interval(total - half_width, total + half_width)


def weighted_difference(parts: Sequence[Component], weights: Sequence[float]) -> Component:
    """The weighted sum of independent differences, cut to -1..1."""
    if len(parts) == 1 and weights[0] == 1:
        return parts[0]
    value, interval = weighted_mean([p.value for p in parts], [p.interval for p in parts], weights)
    sums = np.zeros_like(parts[0].sums)
    for part, weight in zip(parts, weights, strict=True):
        sums += np.float32(weight) * part.sums
    contributions = np.concatenate([w * p.contributions for p, w in zip(parts, weights, strict=True)])
    return Component(value, Interval(max(-1.0, interval.low), min(1.0, interval.high)), contributions, sums)
