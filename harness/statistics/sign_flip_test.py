"""Sign-flip permutation: under no difference, swapping two checkpoints' scores of a cluster of samples changes nothing.

A difference is the sum of the contributions of clusters; swapping flips the sign of one.  For 0/1 scores this is McNemar's
exact test.  All candidates of a task are flipped together, so that what is drawn also says how they move together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.statistics.estimate import Floats

DRAWS = 9_999
SMALL = 14  # up to this many clusters that differ, all 2^m sign patterns are looked at
CHUNK = 512  # sign patterns held at once
TIE = 1e-9  # sums equal to the observed one up to rounding count as equal


@dataclass(frozen=True)
class Tested:
    """A p-value, and the standard error that it has from being drawn (0 when it was enumerated)."""

    p: float
    error: float = 0.0


def drawn(contributions: Floats, draws: int = DRAWS, seed: int | Sequence[int] = 0) -> npt.NDArray[np.float32]:
    """[candidates, draws]: the sums of [clusters, candidates] contributions under random signs, CHUNK patterns at a time.

    A sum of up to 10^5 terms in single precision keeps 4 digits or more: ties are decided with that in mind by `tested`.
    """
    rng = np.random.default_rng(seed)
    clusters = contributions.shape[0]
    matrix = np.ascontiguousarray(contributions, np.float32)
    sums = np.empty((contributions.shape[1], draws), np.float32)
    for start in range(0, draws, CHUNK):
        count = min(CHUNK, draws - start)
        bits = np.frombuffer(rng.bytes((count * clusters + 7) // 8), np.uint8)
        signs = 2 * np.unpackbits(bits)[: count * clusters].view(np.int8) - 1
        sums[:, start : start + count] = (signs.reshape(count, clusters).astype(np.float32) @ matrix).T
    return sums


def enumerated(contributions: Floats) -> Floats:
    """All 2^m sums of m contributions under every pattern of signs."""
    sums = np.zeros(1)
    for one in contributions:
        sums = np.concatenate([sums + one, sums - one])
    return sums


def two_sided(contributions: Floats, sums: npt.NDArray[np.float32] | None = None, seed: int = 0) -> Tested:
    """Two-sided p-value of the sum of one candidate's contributions [clusters].

    Exact for few non-zero contributions; otherwise by drawing (`sums`, where they were drawn before), with the observed
    pattern counted as one of the draws, so that it is never too small (Phipson and Smyth 2010).
    """
    moved = contributions[contributions != 0]
    seen = abs(float(moved.sum()))
    if len(moved) <= SMALL:
        everything = enumerated(moved)
        return Tested(float(np.mean(np.abs(everything) >= seen - TIE * np.abs(moved).sum())))
    return tested(seen, drawn(moved[:, None], seed=seed)[0] if sums is None else sums, float(np.abs(moved).sum()))


def tested(seen: float, sums: npt.NDArray[np.float32], scale: float) -> Tested:
    """The p-value of |sum| = `seen` among drawn sums; `scale` is the largest sum there could be."""
    reached = int(np.sum(np.abs(sums) >= seen - 1e-6 * scale))
    p = (1 + reached) / (1 + len(sums))
    return Tested(p, float(np.sqrt(p * (1 - p) / len(sums))))
