"""Repeatability: how many scores change when the same checkpoint answers again in another batch or precision."""

from __future__ import annotations

import numpy as np

from harness.noise import Noise
from harness.statistics.aggregates import Floats, Interval

ROUNDING = 1e-5  # a smaller change of a score made of log-probabilities is rounding
MATERIAL_SHARE = 0.2  # noise that explains more than this share of the discordance is added to the interval

NOT_MEASURED = Noise(0, 0, 0.0)


def measure_noise(first: Floats, second: Floats) -> Noise:
    """Noise from two arrays [items] of scores of the same items; items without a score (NaN) in either are left out."""
    both = ~(np.isnan(first) | np.isnan(second))
    change = second[both] - first[both]
    change[np.abs(change) < ROUNDING] = 0.0
    if not len(change):
        return NOT_MEASURED
    return Noise(len(change), int(np.sum(change != 0)), float(change.mean()), square=float(np.mean(change**2)))


def noise_share(rate: float, discordance: float) -> float:
    """The share of the discordance between two checkpoints (mean squared change of score) that noise alone explains."""
    return rate / discordance if discordance > 0 else float(rate > 0)


def noise_variance(rate: float, discordance: float, n: int) -> float:
    """The variance that noise adds to a difference over `n` items: rate / n, or 0 below MATERIAL_SHARE of the discordance."""
    # Flips that are independent between items are in the discordance already.  Another batch may move many items the same
    # way, which the items cannot show: adding the whole rate errs on the safe side.
    return rate / n if n and noise_share(rate, discordance) > MATERIAL_SHARE else 0.0


def widen_interval(value: float, interval: Interval, variance: float, critical: float) -> Interval:
    """The interval around `value` with `variance` added: on each side half_width^2 grows by critical^2 * variance."""
    if variance <= 0:
        return interval
    extra_square = critical**2 * variance
    down, up = (float(np.sqrt(half_width**2 + extra_square)) for half_width in (value - interval.low, interval.high - value))
    return Interval(max(-1.0, value - down), min(1.0, value + up))
