"""Pseudo-observations: what keeps an interval honest next to the ends of the range, and where few items change.

The variance of a sample says nothing of what the sample lacks: equal values have no variance, and of a fault of 1 % a hundred
items often show none.  Every interval here that is not an exact one counts a few observations that were not made: of a mean
one at either end of its range (Agresti and Coull 1998), of a difference one loss and one gain (Bonett and Price 2012).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from harness.statistics.aggregates import Design, Floats, cluster_sums, sample_weights

PSEUDO_PAIRS = 1  # a mean gets so many pseudo-observations of 0, and as many of 1
# Many small changes must not hide what a few whole ones add.  Of the powers of a change's size, in steps of a quarter, this is
# the smallest weight whose intervals hold the truth at least 93 % of the time, whatever share of 10 to 1,200 answers changes a
# little and whatever share wholly.  With 1, and a shift that all answers share not taken off, it was 63 % at worst.
WEIGHT_POWER = 1.5


def shrunk_mean(score: float, variance: float, n: float) -> tuple[float, float]:
    """The mean, and its standard error, of n values in 0..1 with a 0 and a 1 added to them.

    Agresti and Coull (1998) and Agresti and Caffo (2000) add them to shares; here it is done for every bounded mean, whose
    `variance` is that of the mean of n independent values.
    """
    more = 2 * PSEUDO_PAIRS
    centre = (n * score + PSEUDO_PAIRS) / (n + more)
    squares = max(n - 1, 0.0) * n * variance
    squares += n * (score - centre) ** 2 + PSEUDO_PAIRS * (centre**2 + (1 - centre) ** 2)
    return centre, float(np.sqrt(squares / (n + more - 1) / (n + more)))


def squared_weights(design: Design) -> tuple[Floats, Floats]:
    """[strata] each: the number of clusters, and the sum over them of the square of what each adds to the aggregate."""
    halves = np.full(len(design.sizes), 0.5)
    squares = cluster_sums(design.clusters, sample_weights(halves, design)) ** 2
    counts = np.bincount(design.cluster_strata).astype(np.float64)
    return counts, np.bincount(design.cluster_strata, weights=squares).astype(np.float64)


def cluster_weight(design: Design) -> float:
    """What a cluster that changes as a whole adds to the aggregate: the root of the mean square over clusters.

    A cluster of a small group adds more to a macro mean than one of a large group.  Groups count there by what they add to the
    variance, so that the few clusters of the small ones, whose changes may not have been seen, are not lost among the many.
    """
    counts, squares = squared_weights(design)
    mean_squares, shares = squares / counts, squares if design.aggregate == "macro" else counts
    return float(np.sqrt(np.sum(shares * mean_squares) / np.sum(shares))) if np.sum(shares) else 0.0


def pseudo_square(deviations: Floats, whole: float) -> float:
    """The square of a pseudo-observation's size, from the deviations [clusters] seen, and that of a `whole` cluster.

        (sum |d|^3.5 + whole^3.5) / (sum |d|^1.5 + whole^1.5)

    `deviations`: what each cluster adds to the value, less what clusters add on average.  Of rare changes of 0/1 scores each
    is a whole one, and so is this.  Elsewhere deviations have many sizes.  Large ones weigh more (see WEIGHT_POWER), and a
    whole one counts as seen once, because the largest ones may be rare.
    """
    weights = np.abs(deviations) ** WEIGHT_POWER
    whole_weight = whole**WEIGHT_POWER
    return float((np.sum(weights * deviations**2) + whole_weight * whole**2) / (np.sum(weights) + whole_weight))


def student_p(value: float, error: float, freedom: float, least: float = 0.0) -> float:
    """Student's two-sided p-value, at least `least`; `error` is above 0."""
    return max(least, float(2 * special.stdtr(freedom, -abs(value) / error)))


def least_sign_flip_p(contributions: Floats) -> float:
    """The smallest p-value that flipping the signs of m non-zero contributions can give: 2^(1-m)."""
    # No test of symmetry can be surer.  Student's t is, where all of a few changes are alike.
    return float(min(1.0, 2.0 ** (1 - np.count_nonzero(contributions))))
