"""Pseudo-observations: what keeps an interval honest next to the ends of the range, and where few items change.

The variance of a sample says nothing of what the sample lacks: equal values have no variance, and of a fault of 1 % a hundred
items often show none.  Every interval here that is not an exact one counts a few observations that were not made: of a mean
one at either end of its range (Agresti and Coull 1998), of a difference one loss and one gain (Bonett and Price 2012).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from harness.statistics.aggregates import Design, Floats, Ints, cluster_sums, sample_weights

ROUNDING = 1e-20  # a smaller variance is rounding error alone
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


def stratum_scale(design: Design) -> Floats:
    """[strata]: what the squared sum of a cluster counts in the variance, C/(C-1); 0 for the single cluster of a stratum."""
    # A stratum with a single cluster says nothing about its own variance: it is given that of the others' clusters, by weight.
    count, weights = squared_weights(design)
    estimable = count > 1
    inflation = float(weights.sum() / weights[estimable].sum()) if weights[estimable].sum() else 1.0
    return np.where(estimable, inflation * count / np.maximum(count - 1, 1), 0.0)


def information_share(values: Floats, clusters: Ints) -> float:
    """How many independent items of whole changes would know the mean of values [n] in -1..1 as well, for each of the n.

    1 of independent values; at least one item for each cluster, where these are of equal size (Kish 1965, 8.2), as draws of one
    problem may all be alike.  Above that, what the clusters' variance says, with a guard against its luck (`pseudo_square`).
    """
    n, members = len(values), np.unique(clusters, return_inverse=True)[1]
    sizes = np.bincount(members).astype(np.float64)
    if len(sizes) == n:
        return 1.0
    least = n**2 / float(np.sum(sizes**2))
    sums = cluster_sums(members, values - values.mean()) / n
    variance = float(np.sum(sums**2)) * len(sizes) / max(len(sizes) - 1, 1)
    spread = float(np.abs(values).mean() - values.mean() ** 2)
    if variance <= ROUNDING or len(sizes) < 2:
        return least / n
    guarded = spread / (variance + pseudo_square(sums, 1 / least))
    return min(max(guarded, min(least, spread / variance)), float(n)) / n
