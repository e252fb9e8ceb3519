"""The noise floor: how many scores change when the same checkpoint is asked again in another batch or precision."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from harness.statistics.estimate import Floats, Interval
from harness.types import Json

SAME = 1e-5  # a score made of log-probabilities differs by less from rounding alone, which is always there
STATED = 0.2  # noise that makes more than this share of the differing items is added to the interval


@dataclass(frozen=True)
class Noise:
    """`n` items asked twice; `flips` of them scored differently; `shift` is the second mean minus the first (0..1).

    `answers`: how many were answered differently (another text, another likeliest choice), scored or not; `drift`: the most
    that the log-probability of a choice moved, in nats; `square`: the mean squared change of a score, None in older results.
    """

    n: int
    flips: int
    shift: float
    answers: int = 0
    drift: float = 0.0
    square: float | None = None

    @property
    def rate(self) -> float:
        """The share of flips, where a score between 0 and 1 counts by the square of its change."""
        return (self.flips / self.n if self.square is None else self.square) if self.n else 0.0


NONE = Noise(0, 0, 0.0)


def measure(first: Floats, second: Floats) -> Noise:
    """From the scores of the same items, asked twice (NaN: unscored, left out)."""
    both = ~(np.isnan(first) | np.isnan(second))
    change = second[both] - first[both]
    change[np.abs(change) < SAME] = 0.0
    if not len(change):
        return NONE
    return Noise(len(change), int(np.sum(change != 0)), float(change.mean()), square=float(np.mean(change**2)))


def of(about: Json) -> Noise:
    """What task.json says of asking again; NONE where it was not done."""
    found = about.get("noise")
    names = [f.name for f in fields(Noise)]
    return Noise(**{n: found[n] for n in names if n in found}) if found else NONE


def share(rate: float, discordance: float) -> float:
    """The share of the difference between two checkpoints, in squared scores, that noise alone would make."""
    return rate / discordance if discordance > 0 else float(rate > 0)


def added(rate: float, discordance: float, n: int) -> float:
    """The variance to add to a difference over `n` items: that of the flips, where noise makes more than the stated share.

    Flips that fall on items one by one are in the discordance already; what is added is for the case that they do not
    (another batch moves many items the same way), so it errs on the safe side.
    """
    return rate / n if n and share(rate, discordance) > STATED else 0.0


def widened(value: float, interval: Interval, variance: float, critical: float) -> Interval:
    """An interval with more variance: each side's square grows by that of `critical` standard errors of it."""
    if variance <= 0:
        return interval
    more = critical**2 * variance
    low, high = value - interval.low, interval.high - value
    return Interval(max(-1.0, value - float(np.sqrt(low**2 + more))), min(1.0, value + float(np.sqrt(high**2 + more))))
