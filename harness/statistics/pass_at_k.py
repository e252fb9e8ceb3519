"""pass@k: the chance that at least one of k draws is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from harness.statistics.aggregates import Floats


def pass_at(k: int, right: Floats, draws: Floats) -> Floats:
    """[problems]: the unbiased estimate of Chen et al. (2021, arXiv 2107.03374) for c right ones of n draws; NaN for n < k.

    pass@k = 1 - C(n - c, k) / C(n, k)
    """
    wrong = draws - right
    with np.errstate(divide="ignore", invalid="ignore"):
        none_right = np.exp(log_choose(wrong, k) - log_choose(draws, k))
    return np.where(draws < k, np.nan, np.where(wrong < k, 1.0, 1 - none_right))


def log_choose(n: Floats, k: int) -> Floats:
    """[problems]: log C(n, k), by log-gamma so that large n do not overflow; n below k is taken as k."""
    log_count: Floats = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(np.maximum(n - k, 0) + 1)
    return log_count
