"""Sign-flip permutation: under no difference, swapping two checkpoints' scores of a cluster of samples changes nothing.

A difference is the sum of the contributions of clusters; swapping flips the sign of one.  For 0/1 scores this is McNemar's
exact test.  All candidates of a task are flipped together, so that what is drawn also says how they move together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.statistics.aggregates import Floats

DRAWS = 9_999
ENUMERATION_LIMIT = 14  # up to this many clusters that differ, all 2^m sign patterns are looked at
CHUNK_SIZE = 512  # sign patterns held at once
TIE_TOLERANCE = 1e-9  # sums equal to the observed one up to rounding count as equal


@dataclass(frozen=True)
class PValue:
    """A p-value, and the standard error that it has from being drawn (0 when it was enumerated)."""

    p: float
    error: float = 0.0


def draw_sums(contributions: Floats, draws: int = DRAWS, seed: int | Sequence[int] = 0) -> npt.NDArray[np.float32]:
    """[candidates, draws]: the sums of [clusters, candidates] contributions under random signs, CHUNK patterns at a time.

    A sum of up to 10^5 terms in single precision keeps 4 digits or more: ties are decided with that in mind by `tested`.
    """
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
    """All 2^m sums of m contributions under every pattern of signs."""
    sums = np.zeros(1)
    for contribution in contributions:
        sums = np.concatenate([sums + contribution, sums - contribution])
    return sums


def two_sided_p(contributions: Floats, sums: npt.NDArray[np.float32] | None = None, seed: int = 0) -> PValue:
    """Two-sided p-value of the sum of one candidate's contributions [clusters].

    Exact for few non-zero contributions; otherwise by drawing (`sums`, where they were drawn before), with the observed
    pattern counted as one of the draws, so that it is never too small (Phipson and Smyth 2010).
    """
    nonzero = contributions[contributions != 0]
    size = abs(float(nonzero.sum()))
    if len(nonzero) <= ENUMERATION_LIMIT:
        null = enumerate_sums(nonzero)
        return PValue(float(np.mean(np.abs(null) >= size - TIE_TOLERANCE * np.abs(nonzero).sum())))
    return p_from_draws(size, draw_sums(nonzero[:, None], seed=seed)[0] if sums is None else sums, float(np.abs(nonzero).sum()))


def p_from_draws(size: float, sums: npt.NDArray[np.float32], scale: float) -> PValue:
    """The p-value of |sum| = `seen` among drawn sums; `scale` is the largest sum there could be."""
    exceedances = int(np.sum(np.abs(sums) >= size - 1e-6 * scale))
    p = (1 + exceedances) / (1 + len(sums))
    return PValue(p, float(np.sqrt(p * (1 - p) / len(sums))))
