"""How small a difference so many samples would have found, and how many samples a wanted difference needs.

Differences and discordance (the share of samples that one checkpoint has right and the other wrong) are shares of all samples,
not of the discordant ones.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

from harness.statistics.estimate import Floats, Ints, quantile

POWER = 0.8
LEVEL = 0.95


def found(n: int, discordance: float, delta: float, level: float = LEVEL) -> float:
    """The probability that the exact McNemar test on n pairs sees a true difference `delta`.

    Exact: the number of flips m is binomial (n, discordance), the gains among them binomial (m, 1/2 + delta / (2 discordance)).
    """
    wide = min(max(discordance, abs(delta)), 1.0)
    middle, reach = n * wide, 8 * np.sqrt(n * wide * (1 - wide)) + 8
    flips = np.arange(max(0, int(middle - reach)), min(n, int(middle + reach)) + 1)
    chance = np.exp(
        special.gammaln(n + 1) - special.gammaln(flips + 1) - special.gammaln(n - flips + 1)
        + special.xlogy(flips, wide) + special.xlog1py(n - flips, -wide)
    )  # fmt: skip
    fewest = rejected(level, 1 << int(flips[-1]).bit_length())[flips]
    up = 0.5 + delta / (2 * wide)
    alarm = np.where(fewest >= 0, at_most(fewest, flips, up) + at_most(fewest, flips, 1 - up), 0.0)
    return float(min(1.0, np.sum(chance * alarm)))


def at_most(k: Ints, n: Ints, p: float) -> Floats:
    """The binomial distribution function; 0 below zero."""
    found: Floats = np.where(k < 0, 0.0, special.bdtr(np.maximum(k, 0), n, p))
    return found


@lru_cache(maxsize=32)
def rejected(level: float, size: int) -> Ints:
    """For 0 .. size-1 flips the largest smaller count that the exact test still calls a difference; -1 for none."""
    flips = np.arange(size)
    tail = (1 - level) / 2
    guess = np.floor(np.nan_to_num(special.bdtrik(tail, np.maximum(flips, 1), 0.5), nan=-1.0)).astype(np.int64)
    guess = np.where(at_most(guess + 1, flips, 0.5) <= tail, guess + 1, guess)
    fewest: Ints = np.where(at_most(guess, flips, 0.5) <= tail, guess, guess - 1)
    return fewest


@lru_cache(maxsize=100_000)
def detectable(n: int, discordance: float, power: float = POWER, level: float = LEVEL) -> float:
    """The smallest true difference of two paired 0/1 means that n pairs find with probability `power`.

    Where all the discordance on one side would not be enough, the discordance is taken to grow with the difference.
    1 where even a difference of everything would not be found.
    """
    if found(n, discordance, 1.0, level) < power:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 1e-5:
        half = (low + high) / 2
        low, high = (low, half) if found(n, discordance, half, level) >= power else (half, high)
    return high


def detectable_from(error: float, freedom: float = float("inf"), power: float = POWER, level: float = LEVEL) -> float:
    """The same for any estimate with a standard error: (t at the level + normal at the power) x error."""
    return (quantile(level, freedom) + float(special.ndtri(power))) * error


def needed(delta: float, discordance: float, power: float = POWER, level: float = LEVEL) -> int:
    """The number of pairs that finds a true difference `delta` with probability `power`.

    Starts from Connor's (1987) formula and walks to the exact answer (for the power's saw teeth: the first n from which
    on the next 2 % of n are enough too).
    """
    wide = max(discordance, abs(delta))
    z_level, z_power = quantile(level), float(special.ndtri(power))
    start = (z_level * np.sqrt(wide) + z_power * np.sqrt(max(wide - delta**2, 0.0))) ** 2 / delta**2
    n = max(1, int(start * 0.9))
    step = max(1, n // 200)
    while found(n, discordance, delta, level) < power or found(n + max(1, n // 50), discordance, delta, level) < power:
        n += step
    return n
