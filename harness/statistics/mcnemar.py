"""0/1 scores of the same n samples under two checkpoints: tests and intervals from the counts of losses and gains.

A loss is a sample that only the baseline has right, a gain one that only the candidate has right.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from harness.statistics.aggregates import Interval


def exact_p(losses: int, gains: int) -> float:
    """The exact two-sided p-value of McNemar's (1947) test: without a difference each discordant sample is a fair coin.

        p = min(1, 2 P(X <= min(losses, gains))),  X ~ Binomial(losses + gains, 1/2)

    It keeps the nominal rate of false alarms at any number of flips, and equals the sign-flip permutation test.
    """
    discordant = losses + gains
    return min(1.0, 2 * float(special.bdtr(min(losses, gains), discordant, 0.5))) if discordant else 1.0


def tango_interval(losses: int, gains: int, n: int, critical: float) -> Interval:
    """Tango's (1998) score interval of the difference (gained - lost) / n of two paired shares.

    It holds all differences that a score test at `critical` standard errors does not reject.  Unlike Wald's interval it keeps
    its coverage when flips are rare, and has a width when there are none.  Units: -1..1.
    """
    difference = (gains - losses) / n

    def bound(low: float, high: float, crossing: float) -> float:
        """Where the score statistic, which falls with the difference, crosses a value; by bisection to 1e-12."""
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if score_statistic(losses, gains, n, middle) > crossing else (low, middle)
            if high - low < 1e-12:
                break
        return (low + high) / 2

    return Interval(bound(-1.0, difference, critical), bound(difference, 1.0, -critical))


def score_statistic(losses: int, gains: int, n: int, difference: float) -> float:
    """How many standard errors the data lie above `difference`; the error is that of the best fit with this difference.

    The fitted share of losses is the larger root of  2n q^2 + B q + C = 0  with  B = -gained - lost + (2n - gained + lost) d
    and  C = -lost d (1 - d)  (Tango 1998, eq. 4; here for gains minus losses).
    """
    b = -gains - losses + (2 * n - gains + losses) * difference
    c = -losses * difference * (1 - difference)
    share = (np.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    excess = gains - losses - n * difference
    if variance <= 0:
        return float(np.sign(excess) * np.inf) if excess else 0.0
    return float(excess / np.sqrt(variance))
