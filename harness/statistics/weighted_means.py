"""Weighted sums of estimates: a skill of its tasks, the average of its skills.

Tasks over the same rows are not independent: a row that is hard in one is hard in the other.  Their contributions carry the
numbers of their rows (`units`), so that sums over tasks flip signs row by row and take the covariance into their interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.statistics import sign_flip_test
from harness.statistics.aggregates import Floats, Interval, Ints, cluster_sums
from harness.statistics.pseudo_observations import pseudo_square

NullSums = npt.NDArray[np.float32]  # [draws]


@dataclass(frozen=True)
class RowSums:
    """What rows add to an estimate: `contributions` [rows], and for each row its number, which tasks of equal rows share."""

    units: Ints
    contributions: Floats

    def scale(self, weight: float) -> RowSums:
        return RowSums(self.units, weight * self.contributions)


def add_rows(parts: Sequence[RowSums]) -> RowSums:
    """The sum of the parts, row by row; rows in the order of their numbers."""
    units, place = np.unique(np.concatenate([p.units for p in parts]), return_inverse=True)
    return RowSums(units, cluster_sums(place.astype(np.int64), np.concatenate([p.contributions for p in parts])))


def share_rows(first: Ints | None, second: Ints | None) -> bool:
    """Whether two tasks have rows of the same number; None: a task that shares none."""
    return first is not None and second is not None and bool(np.intersect1d(first, second).size)


def correlation_matrix(parts: Sequence[RowSums]) -> Floats:
    """[parts, parts]: the correlations of estimates from the rows that they share; those without shared rows are 0.

    Two pseudo-observations join (see `pseudo_square`): a row that adds to both, and one that takes from both.  Few changes say
    little about a correlation, and tasks over the same rows are rather taken for alike than for independent.  A negative one
    counts as 0.
    """
    matrix = np.eye(len(parts))
    deviations = [p.contributions - p.contributions.mean() if len(p.contributions) else p.contributions for p in parts]
    pseudo = [float(np.sqrt(pseudo_square(c, 1 / max(len(c), 1)))) for c in deviations]
    norms = [float(np.sqrt(np.sum(c**2) + 2 * t**2)) for c, t in zip(deviations, pseudo, strict=True)]
    for i in range(len(parts)):
        for j in range(i):
            _, first, second = np.intersect1d(parts[i].units, parts[j].units, assume_unique=True, return_indices=True)
            if len(first):
                product = float(np.sum(deviations[i][first] * deviations[j][second])) + 2 * pseudo[i] * pseudo[j]
                matrix[i, j] = matrix[j, i] = min(1.0, max(0.0, product / (norms[i] * norms[j])))
    return matrix


@dataclass(frozen=True)
class Component:
    """A difference, or a weighted sum of differences, with all that testing it needs.  Units: 0..1."""

    value: float
    interval: Interval
    rows: RowSums  # the sum of the contributions is the difference
    sums: NullSums  # the difference under random signs

    @property
    def contributions(self) -> Floats:
        return self.rows.contributions

    @property
    def half_width(self) -> float:
        return (self.interval.high - self.interval.low) / 2

    @property
    def null_sd(self) -> float:
        """The standard deviation of the difference under random signs."""
        return float(np.sqrt(np.sum(self.contributions**2)))

    def test(self) -> sign_flip_test.PValue:
        return sign_flip_test.two_sided_p(self.contributions, self.sums)


def weighted_mean(
    values: Sequence[float], intervals: Sequence[Interval], weights: Sequence[float], correlations: Floats | None = None
) -> tuple[float, Interval]:
    """A weighted sum (weights of at least 0) of estimates, by MOVER (Zou and Donner 2008; with correlations Zou 2008):

        low = sum w x - sqrt(sum over i, j of r_ij w_i (x_i - low_i) w_j (x_j - low_j)), and high likewise

    The variances are recovered from the intervals, each side from its own, so a sum of tasks keeps the care that each interval
    takes of few samples, rare changes and the ends of the range.
    """
    if len(values) == 1 and weights[0] == 1:
        return values[0], intervals[0]
    total = float(np.dot(weights, values))
    matrix = np.eye(len(values)) if correlations is None else correlations
    down = np.array(weights) * [v - i.low for v, i in zip(values, intervals, strict=True)]
    up = np.array(weights) * [i.high - v for v, i in zip(values, intervals, strict=True)]
    below, above = (float(np.sqrt(max(side @ matrix @ side, 0.0))) for side in (down, up))
    return total, Interval(total - below, total + above)


def weighted_difference(parts: Sequence[Component], weights: Sequence[float], share_rows: bool = False) -> Component:
    """The weighted sum of differences, cut to -1..1; `share_rows`: some of them may be over the same rows."""
    if len(parts) == 1 and weights[0] == 1:
        return parts[0]
    correlations = correlation_matrix([p.rows for p in parts]) if share_rows else None
    value, interval = weighted_mean([p.value for p in parts], [p.interval for p in parts], weights, correlations)
    sums = np.zeros_like(parts[0].sums)
    for part, weight in zip(parts, weights, strict=True):
        sums += np.float32(weight) * part.sums
    rows = add_rows([p.rows.scale(w) for p, w in zip(parts, weights, strict=True)])
    return Component(value, Interval(max(-1.0, interval.low), min(1.0, interval.high)), rows, sums)
