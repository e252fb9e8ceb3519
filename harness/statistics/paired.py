"""A difference between two checkpoints on the same samples: its size, its interval, its p-value, and the flips behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.statistics import mcnemar, sign_flip_test
from harness.statistics.estimate import Design, Floats, Interval, Spread, binary, influences, means, quantile, slopes, spread


@dataclass(frozen=True)
class Delta:
    """Candidate minus baseline on the samples that both have a score for.  Units: the score's own, 0..1."""

    n: int
    value: float
    interval: Interval
    variance: float
    freedom: float
    lost: int
    gained: int
    contributions: Floats  # [clusters]: how much of the difference each cluster makes
    plain: bool  # a mean of independent 0/1 scores: closed forms hold

    def p(self, seed: int = 0) -> sign_flip_test.Tested:
        """Exact McNemar for independent 0/1 scores, sign flips of clusters otherwise."""
        if self.plain:
            return sign_flip_test.Tested(mcnemar.exact(self.lost, self.gained))
        return sign_flip_test.two_sided(self.contributions, seed=seed)


def delta(before: Floats, after: Floats, design: Design, level: float = 0.95) -> Delta:
    """The paired difference of two arrays of scores of the same n samples (no NaN)."""
    if len(before) == 0:
        nothing = np.zeros(0)
        return Delta(0, float("nan"), Interval(-1.0, 1.0), float("nan"), 1.0, 0, 0, nothing, False)
    (old, old_influence), (new, new_influence) = influences(before, design), influences(after, design)
    lost, gained = int(np.sum(after < before)), int(np.sum(after > before))
    plain = design.plain and binary(before) and binary(after)
    made = contributions(before, after, design)
    known = widened(spread(new_influence - old_influence, design), made, design)
    if plain:
        interval = mcnemar.tango(lost, gained, len(before), quantile(level))
    else:
        half = quantile(level, known.freedom) * float(np.sqrt(known.variance))
        interval = Interval(max(-1.0, new - old - half), min(1.0, new - old + half))
    return Delta(len(before), new - old, interval, known.variance, known.freedom, lost, gained, made, plain)


def contributions(before: Floats, after: Floats, design: Design) -> Floats:
    """[clusters]: what each cluster adds to the difference, when the aggregate is made linear between the two checkpoints.

    Exact for means; for F1 the slopes are taken at the average of both, which does not change when samples are swapped, so
    that flipping the sign of a contribution is the same as swapping, and the sign-flip test stays exact.
    """
    halfway = (means(before, design) + means(after, design)) / 2
    weight = (slopes(halfway, design) / design.sizes)[design.strata]
    return np.bincount(design.clusters, weights=weight * (after - before)).astype(np.float64)


def widened(known: Spread, made: Floats, design: Design) -> Spread:
    """The variance with one lost and one gained cluster more, each of the usual contribution.

    When few samples change, the variance seen is too small too often, and 0 when none does; two pseudo-observations mend it
    (Bonett and Price 2012, for two paired shares; here for every aggregate).  Where nothing changed, a single sample's whole
    weight stands in for what is usual.
    """
    if np.isnan(known.variance):
        return Spread(1.0, 1.0)
    moved = made[made != 0]
    usual = float(np.mean(moved**2)) if len(moved) else 1 / len(design.cluster) ** 2
    return Spread(known.variance + 2 * usual, known.freedom)
