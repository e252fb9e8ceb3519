"""The sign-flip permutation test of a paired difference (Fisher 1935).

A difference is the sum of the contributions of clusters.  Without a true difference, swapping the two checkpoints' scores of a
cluster changes nothing, and a swap flips the sign of the cluster's contribution.  Flipping whole clusters keeps samples
that depend on each other together.  For independent 0/1 scores the test is McNemar's exact test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness.statistics.aggregates import Floats

DRAWS = 9_999
ENUMERATION_LIMIT = 14  # with at most m = 14 non-zero contributions, all 2^m sign patterns are enumerated
CHUNK_SIZE = 512  # sign patterns in memory at once
TIE_TOLERANCE = 1e-9  # of the largest possible sum: rounding up to which two sums count as equal


@dataclass(frozen=True)
class PValue:
    """A p-value with its Monte Carlo standard error; 0 where it is exact."""

    p: float
    error: float = 0.0


def draw_sums(contributions: Floats, draws: int = DRAWS, seed: int | Sequence[int] = 0) -> npt.NDArray[np.float32]:
    """[candidates, draws]: the sums of contributions [clusters, candidates] under random signs.

    All candidates share each pattern of signs, so the draws also show how the candidates' differences depend on each other.
    """
    # Single precision halves time and memory.  Sums of 10^5 terms keep 4 digits, which `p_from_draws` allows for.
    rng = np.random.default_rng(seed)
    clusters = contributions.shape[0]
    matrix = np.ascontiguousarray(contributions, np.float32)
    sums = np.empty((contributions.shape[1], draws), np.float32)
    for start in range(0, draws, CHUNK_SIZE):
        count = min(CHUNK_SIZE, draws - start)
        bits = np.frombuffer(rng.bytes((count * clusters + 7) // 8), np.uint8)
        signs = 2 * np.unpackbits(bits)[: count * clusters].view(np.int8) - 1
        sums[:, start : start + count] = (signs.reshape(count, clusters).astype(np.float32) @ matrix).T
    return sums


def enumerate_sums(contributions: Floats) -> Floats:
    """[2^m]: the sums of m contributions under every pattern of signs."""
    sums = np.zeros(1)
    for contribution in contributions:
        sums = np.concatenate([sums + contribution, sums - contribution])
    return sums


def two_sided_p(contributions: Floats, sums: npt.NDArray[np.float32] | None = None, seed: int = 0) -> PValue:
    """The two-sided p-value of the sum of one candidate's contributions [clusters].

    Exact for at most ENUMERATION_LIMIT non-zero contributions; otherwise from `sums` [draws], or from draws of its own.
    """
    nonzero = contributions[contributions != 0]
    size = abs(float(nonzero.sum()))
    if len(nonzero) <= ENUMERATION_LIMIT:
        null = enumerate_sums(nonzero)
        return PValue(float(np.mean(np.abs(null) >= size - TIE_TOLERANCE * np.abs(nonzero).sum())))
    return p_from_draws(size, draw_sums(nonzero[:, None], seed=seed)[0] if sums is None else sums, float(np.abs(nonzero).sum()))


def p_from_draws(size: float, sums: npt.NDArray[np.float32], scale: float) -> PValue:
    """(1 + draws with |sum| >= size) / (1 + draws); `scale` is the largest sum that signs can make.

    The observed pattern counts as one of the draws, so that p is never too small (Phipson and Smyth 2010).
    """
    exceedances = int(np.sum(np.abs(sums) >= size - 1e-6 * scale))
    p = (1 + exceedances) / (1 + len(sums))
    return PValue(p, float(np.sqrt(p * (1 - p) / len(sums))))
