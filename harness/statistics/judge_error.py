"""Scores by a judge that errs: what its measured error rates leave of a score and of a difference.

A judge whose mean grade is m1 where the truth is 1, and m0 where it is 0, gives a share t of true items the mean grade
p = t m1 + (1 - t) m0, so that t = (p - m0) / (m1 - m0) (Rogan and Gladen 1978, for grades of 0 and 1 with sensitivity m1 and
specificity 1 - m0; it holds for grades between as well).  The errors of m1 and m0 count too (Lang and Reiczigel 2014): by draws
from their distributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.statistics.aggregates import Floats, Interval, critical_value

DRAWS = 20_000
SEED = 20_260_101
LEAST = 0.02  # m1 - m0: a judge that tells the two apart by less is drawn as one that says nothing


@dataclass(frozen=True)
class ClassMean:
    """The mean grade of `n` labelled items of one truth, and the variance of the grades."""

    n: int
    mean: float
    variance: float

    @classmethod
    def of(cls, grades: Sequence[float]) -> ClassMean:
        """With one grade of 0 and one of 1 added, as few items without an error prove no perfect judge."""
        values = np.array([*grades, 0.0, 1.0])
        return cls(len(grades), float(values.mean()), float(values.var()))

    @property
    def error(self) -> float:
        return float(np.sqrt(self.variance / (self.n + 2)))


@dataclass(frozen=True)
class ErrorRates:
    """A judge's mean grades of items whose truth is 1 (`hit`), and 0 (`miss`)."""

    hit: ClassMean
    miss: ClassMean

    @property
    def power(self) -> float:
        """m1 - m0: 1 for a judge without errors, 0 for one that says nothing (Youden's J)."""
        return self.hit.mean - self.miss.mean

    def reverse(self) -> ErrorRates:
        """The rates where the opposite truth scores 1."""
        hit, miss = self.miss, self.hit
        return ErrorRates(ClassMean(hit.n, 1 - hit.mean, hit.variance), ClassMean(miss.n, 1 - miss.mean, miss.variance))

    def draw(self) -> tuple[Floats, Floats]:
        """[DRAWS] each: plausible values of m1 and m0."""
        noise = np.random.default_rng(SEED).standard_normal((2, DRAWS))
        return self.hit.mean + self.hit.error * noise[0], self.miss.mean + self.miss.error * noise[1]


def true_share(mean: float, rates: ErrorRates) -> float:
    """The share of true items that explains a mean grade, in 0..1; NaN for a judge that says nothing."""
    if rates.power < LEAST:
        return float("nan")
    return float(np.clip((mean - rates.miss.mean) / rates.power, 0.0, 1.0))


def share_interval(mean: float, interval: Interval, rates: ErrorRates, level: float) -> Interval:
    """The interval of the true share, from that of the mean grade and the errors of the rates."""
    hit, miss = rates.draw()
    return correct_draws(draw_within(mean, interval, level, SEED + 1) - miss, hit - miss, (0.0, 1.0), level)


def difference_interval(delta: float, interval: Interval, rates: ErrorRates, level: float) -> Interval:
    """The interval of the difference of two true shares, whose mean grades differ by `delta`: delta / (m1 - m0)."""
    hit, miss = rates.draw()
    return correct_draws(draw_within(delta, interval, level, SEED + 2), hit - miss, (-1.0, 1.0), level)


def can_decide(rates: ErrorRates, level: float) -> bool:
    """Whether enough items would ever show a difference: how well the judge tells good from bad must itself be known."""
    hit, miss = rates.draw()
    return float(np.mean(hit - miss < LEAST)) < 1 - level  # half of them stretch each end of the interval, see correct_draws()


def error_factor(interval: Interval, rates: ErrorRates, level: float) -> float:
    """By how much the judge's errors stretch the standard error of a difference near 0: about 1 / (m1 - m0).

    `interval`: of the difference of mean grades, whose width alone counts.  Infinite where that has no width.
    """
    half_width = (interval.high - interval.low) / 2
    around_zero = difference_interval(0.0, Interval(-half_width, half_width), rates, level)
    return max(1.0, (around_zero.high - around_zero.low) / 2 / half_width) if half_width > 0 else float("inf")


def draw_within(value: float, interval: Interval, level: float, seed: int) -> Floats:
    """[DRAWS]: plausible values of an estimate, normal on either side with the interval's own width there."""
    noise = np.random.default_rng(seed).standard_normal(DRAWS)
    side = np.where(noise > 0, interval.high - value, value - interval.low) / critical_value(level)
    return value + side * noise


def correct_draws(graded: Floats, power: Floats, ends: tuple[float, float], level: float) -> Interval:
    """The interval of graded / power within `ends`; where a draw is of a judge that says nothing, either end is possible."""
    blind = power < LEAST
    values = np.clip(graded / np.where(blind, 1.0, power), *ends)
    values[blind] = np.array(ends)[np.arange(int(blind.sum())) % 2]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def hull(first: Interval, second: Interval) -> Interval:
    """The smallest interval that holds both: the score as graded, and what the judge's errors may have made of the truth."""
    return Interval(min(first.low, second.low), max(first.high, second.high))
