"""Skills and the average: weighted sums of tasks, whose errors are independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.statistics import sign_flip_test
from harness.statistics.aggregates import Floats
from harness.statistics.estimate import Interval

NullSums = npt.NDArray[np.float32]  # [draws]


@dataclass(frozen=True)
class Component:
    """A difference, or a sum of differences, with what its clusters contribute and its sums under random signs."""

    value: float
    interval: Interval
    contributions: Floats
    sums: NullSums

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.interval.high - self.interval.low) / 2

    @property
    def null_sd(self) -> float:
        """The standard deviation of the sums."""
        return float(np.sqrt(np.sum(self.contributions**2)))

    def test(self) -> sign_flip_test.PValue:
        return sign_flip_test.two_sided_p(self.contributions, self.sums)


def weighted_mean(values: Sequence[float], intervals: Sequence[Interval], weights: Sequence[float]) -> tuple[float, Interval]:
    """A weighted sum of independent estimates: half widths add as squares.

    The variances are recovered from the intervals (Zou and Donner 2008), so that a task keeps what its own interval knows
    of few samples and rare changes; both sides get the same width, since skew fades in a sum.
    """
    if len(values) == 1 and weights[0] == 1:
        return values[0], intervals[0]
    total = float(np.dot(weights, values))
    half_widths = np.array([(i.high - i.low) / 2 for i in intervals])
    half_width = float(np.sqrt(np.sum((np.array(weights) * half_widths) ** 2)))
    return total, Interval(total - half_width, total + half_width)


def weighted_difference(parts: Sequence[Component], weights: Sequence[float]) -> Component:
    """The weighted sum of independent differences."""
    if len(parts) == 1 and weights[0] == 1:
        return parts[0]
    value, interval_ = weighted_mean([p.value for p in parts], [p.interval for p in parts], weights)
    sums = np.zeros_like(parts[0].sums)
    for part, weight in zip(parts, weights, strict=True):
        sums += np.float32(weight) * part.sums
    contributions = np.concatenate([w * p.contributions for p, w in zip(parts, weights, strict=True)])
    return Component(value, Interval(max(-1.0, interval_.low), min(1.0, interval_.high)), contributions, sums)
