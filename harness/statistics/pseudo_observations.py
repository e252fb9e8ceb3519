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


def cluster_weight(design: Design) -> float:
    """What a cluster that changes as a whole adds to the aggregate: the root of the mean square over clusters."""
    halves = np.full(len(design.sizes), 0.5)
    return float(np.sqrt(np.mean(cluster_sums(design.clusters, sample_weights(halves, design)) ** 2)))


def pseudo_square(contributions: Floats, whole: float) -> float:
    """The square of a pseudo-observation's size, from the contributions [clusters] seen, and that of a `whole` cluster.

        (sum |c|^3 + whole^3) / (sum |c| + whole)

    Of paired 0/1 scores every change is a whole one, and this is its square.  Elsewhere changes have many sizes.  The square
    is weighted with the size, because large changes make the variance, and a whole change counts as seen once, because the
    largest ones may be rare.
    """
    size = np.abs(contributions)
    return float((np.sum(size**3) + whole**3) / (np.sum(size) + whole))


def student_p(value: float, error: float, freedom: float, least: float = 0.0) -> float:
    """Student's two-sided p-value, at least `least`; `error` is above 0."""
    return max(least, float(2 * special.stdtr(freedom, -abs(value) / error)))


def least_sign_flip_p(contributions: Floats) -> float:
    """The smallest p-value that flipping the signs of m non-zero contributions can give: 2^(1-m)."""
    # No test of symmetry can be surer.  Student's t is, where all of a few changes are alike.
    return float(min(1.0, 2.0 ** (1 - np.count_nonzero(contributions))))
