"""Skills and the average: weighted sums of tasks, whose errors are independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.statistics import sign_flip_test
from harness.statistics.estimate import Floats, Interval

Sums = npt.NDArray[np.float32]  # [draws]


@dataclass(frozen=True)
class Part:
    """A difference, or a sum of differences, with what its clusters contribute and its sums under random signs."""

    value: float
    interval: Interval
    contributions: Floats
    sums: Sums

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.interval.high - self.interval.low) / 2

    @property
    def scale(self) -> float:
        """The standard deviation of the sums."""
        return float(np.sqrt(np.sum(self.contributions**2)))

    def tested(self) -> sign_flip_test.Tested:
        return sign_flip_test.two_sided(self.contributions, self.sums)


def interval(values: Sequence[float], intervals: Sequence[Interval], weights: Sequence[float]) -> tuple[float, Interval]:
    """A weighted sum of independent estimates: half widths add as squares.

    The variances are recovered from the intervals (Zou and Donner 2008), so that a task keeps what its own interval knows
    of few samples and rare changes; both sides get the same width, since skew fades in a sum.
    """
    if len(values) == 1 and weights[0] == 1:
        return values[0], intervals[0]
    total = float(np.dot(weights, values))
    halves = np.array([(i.high - i.low) / 2 for i in intervals])
    half = float(np.sqrt(np.sum((np.array(weights) * halves) ** 2)))
    return total, Interval(total - half, total + half)


def add(parts: Sequence[Part], weights: Sequence[float]) -> Part:
    """The weighted sum of independent differences."""
    if len(parts) == 1 and weights[0] == 1:
        return parts[0]
    value, around = interval([p.value for p in parts], [p.interval for p in parts], weights)
    sums = np.zeros_like(parts[0].sums)
    for part, weight in zip(parts, weights, strict=True):
        sums += np.float32(weight) * part.sums
    contributions = np.concatenate([w * p.contributions for p, w in zip(parts, weights, strict=True)])
    return Part(value, Interval(max(-1.0, around.low), min(1.0, around.high)), contributions, sums)
