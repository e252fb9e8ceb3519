"""0/1 scores of the same samples under two checkpoints: what was lost, what was gained, and what that proves."""

from __future__ import annotations

import numpy as np
from scipy import special

from harness.statistics.estimate import Interval


def exact_p(losses: int, gains: int) -> float:
    """The exact two-sided McNemar (1947) p-value: under no difference each of the flips is a fair coin.

    Never more than the nominal share of false alarms, at any number of flips, and equal to the sign-flip permutation test.
    """
    discordant = losses + gains
    return min(1.0, 2 * float(special.bdtr(min(losses, gains), discordant, 0.5))) if discordant else 1.0


def mid_p(losses: int, gains: int) -> float:
    """The mid-p variant (Fagerland, Lydersen and Laake 2013): counts only half of what was observed itself.

    More power at few flips; the nominal level is then held on average, no longer for certain.
    """
    discordant, fewer = losses + gains, min(losses, gains)
    if not discordant:
        return 1.0
    up_to, up_to_one_less = special.bdtr(fewer, discordant, 0.5), special.bdtr(fewer - 1, discordant, 0.5) if fewer else 0.0
    return float(up_to + up_to_one_less)


def tango_interval(losses: int, gains: int, n: int, critical: float) -> Interval:
    """Tango's (1998) score interval of the difference (gained - lost) / n of two paired shares.

    All differences that a score test at `critical` standard errors would not reject; unlike Wald's it keeps its coverage when
    flips are rare, and has a width when there are none.
    """
    difference = (gains - losses) / n
    return Interval(
        _bound(losses, gains, n, critical, (-1.0, difference)),
        _bound(losses, gains, n, -critical, (difference, 1.0)),
    )


def _bound(losses: int, gains: int, n: int, critical: float, between: tuple[float, float]) -> float:
    """Where the score statistic, which falls with the difference, crosses `critical`; by bisection to 1e-12."""
    low, high = between
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if score_statistic(losses, gains, n, middle) > critical else (low, middle)
        if high - low < 1e-12:
            break
    return (low + high) / 2


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
