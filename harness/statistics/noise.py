"""The noise floor: how many scores change when the same checkpoint is asked again in another batch or precision."""

from __future__ import annotations

import numpy as np

from harness.statistics.aggregates import Floats
from harness.statistics.estimate import Interval
from harness.types import Noise

ROUNDING = 1e-5  # a score made of log-probabilities differs by less from rounding alone, which is always there
MATERIAL_SHARE = 0.2  # noise that makes more than this share of the differing items is added to the interval


NOT_MEASURED = Noise(0, 0, 0.0)


def measure_noise(first: Floats, second: Floats) -> Noise:
    """From the scores of the same items, asked twice (NaN: unscored, left out)."""
    both = ~(np.isnan(first) | np.isnan(second))
    change = second[both] - first[both]
    change[np.abs(change) < ROUNDING] = 0.0
    if not len(change):
        return NOT_MEASURED
    return Noise(len(change), int(np.sum(change != 0)), float(change.mean()), square=float(np.mean(change**2)))


def noise_share(rate: float, discordance: float) -> float:
    """The share of the difference between two checkpoints, in squared scores, that noise alone would make."""
    return rate / discordance if discordance > 0 else float(rate > 0)


def noise_variance(rate: float, discordance: float, n: int) -> float:
    """The variance to add to a difference over `n` items: that of the flips, where noise makes more than the stated share.

    Flips that fall on items one by one are in the discordance already; what is added is for the case that they do not
    (another batch moves many items the same way), so it errs on the safe side.
    """
    return rate / n if n and noise_share(rate, discordance) > MATERIAL_SHARE else 0.0


def widen_interval(value: float, interval: Interval, variance: float, critical: float) -> Interval:
    """An interval with more variance: each side's square grows by that of `critical` standard errors of it."""
    if variance <= 0:
        return interval
    extra_square = critical**2 * variance
    below, above = value - interval.low, interval.high - value
    return Interval(
        max(-1.0, value - float(np.sqrt(below**2 + extra_square))), min(1.0, value + float(np.sqrt(above**2 + extra_square)))
    )
