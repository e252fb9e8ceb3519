"""Power of the exact McNemar test: the difference that n pairs can detect, and the pairs that a difference requires.

`delta` and `discordance` are shares of all samples, in 0..1.  Discordance is the share of samples that exactly one of the two
checkpoints has right.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

from harness.statistics.aggregates import Floats, Ints, critical_value

POWER = 0.8
LEVEL = 0.95


def mcnemar_power(n: int, discordance: float, delta: float, level: float = LEVEL) -> float:
    """The probability that the exact McNemar test on n pairs rejects when the true difference is `delta`.

    Exact: the number of flips m is Binomial(n, discordance), the gains among them Binomial(m, 1/2 + delta / (2 discordance)).
    """
    # A difference needs at least as much discordance.  Beyond 8 standard deviations the binomial weights are below 1e-15.
    discordant = min(max(discordance, abs(delta)), 1.0)
    expected_flips, reach = n * discordant, 8 * np.sqrt(n * discordant * (1 - discordant)) + 8
    flips = np.arange(max(0, int(expected_flips - reach)), min(n, int(expected_flips + reach)) + 1)
    chance = np.exp(
        special.gammaln(n + 1) - special.gammaln(flips + 1) - special.gammaln(n - flips + 1)
        + special.xlogy(flips, discordant) + special.xlog1py(n - flips, -discordant)
    )  # fmt: skip
    limit = rejection_limits(level, 1 << int(flips[-1]).bit_length())[flips]
    gain_share = 0.5 + delta / (2 * discordant)
    rejection = np.where(limit >= 0, binomial_cdf(limit, flips, gain_share) + binomial_cdf(limit, flips, 1 - gain_share), 0.0)
    return float(min(1.0, np.sum(chance * rejection)))


def binomial_cdf(k: Ints, n: Ints, p: float) -> Floats:
    """The binomial distribution function; 0 below zero."""
    cdf: Floats = np.where(k < 0, 0.0, special.bdtr(np.maximum(k, 0), n, p))
    return cdf


@lru_cache(maxsize=32)
def rejection_limits(level: float, size: int) -> Ints:
    """[size]: for m = 0 .. size-1 flips, the largest min(losses, gains) that the exact test still rejects; -1 for none."""
    flips = np.arange(size)
    tail = (1 - level) / 2
    guess = np.floor(np.nan_to_num(special.bdtrik(tail, np.maximum(flips, 1), 0.5), nan=-1.0)).astype(np.int64)
    guess = np.where(binomial_cdf(guess + 1, flips, 0.5) <= tail, guess + 1, guess)
    limits: Ints = np.where(binomial_cdf(guess, flips, 0.5) <= tail, guess, guess - 1)
    return limits


@lru_cache(maxsize=100_000)
def detectable_difference(n: int, discordance: float, power: float = POWER, level: float = LEVEL) -> float:
    """The smallest true difference of two paired 0/1 means that n pairs detect with probability `power`.

    Found by bisection on `mcnemar_power`; a difference larger than the discordance raises the discordance.  1 where even a
    difference of 1 would not be detected.
    """
    if mcnemar_power(n, discordance, 1.0, level) < power:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (low, middle) if mcnemar_power(n, discordance, middle, level) >= power else (middle, high)
    return high


def detectable_from_error(error: float, freedom: float = float("inf"), power: float = POWER, level: float = LEVEL) -> float:
    """The detectable difference of an estimate with a standard error: (t_{1-alpha/2} + z_power) * error."""
    return (critical_value(level, freedom) + float(special.ndtri(power))) * error


def required_pairs(delta: float, discordance: float, power: float = POWER, level: float = LEVEL) -> int:
    """The number of pairs that detects a true difference `delta` with probability `power`.

    Starts at 90 % of Connor's (1987) formula and walks up in half per cents of n.
    """
    discordant = max(discordance, abs(delta))
    z_level, z_power = critical_value(level), float(special.ndtri(power))
    start = (z_level * np.sqrt(discordant) + z_power * np.sqrt(max(discordant - delta**2, 0.0))) ** 2 / delta**2
    n = max(1, int(start * 0.9))
    step = max(1, n // 200)
    # Power rises with n in saw teeth: n counts as enough only where 2 % more pairs are enough as well.
    while any(mcnemar_power(pairs, discordance, delta, level) < power for pairs in (n, n + max(1, n // 50))):
        n += step
    return n
