"""How long answers become, from those that have ended and from how old the others are, and when the last will have ended.

The Kaplan-Meier estimator (1958) of the share of answers that reach each length.  Beyond the oldest answer so far, answers end
as rarely as in the older half of the ages that were seen; at the limit of tokens all end.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]
ENOUGH_ENDS = 3  # with fewer, a forecast is off by a factor of several


def are_foreseeable(ends: int, ages: Sequence[int], answers: int, most: int) -> bool:
    """Whether anything tells how long `answers` become: `ends` of them have ended, or the oldest has half of all it may get."""
    return ends >= min(ENOUGH_ENDS, answers) or 2 * max(ages, default=0) >= most


def reaching_shares(ends: Sequence[int], ages: Sequence[int], most: int) -> Shares:
    """[most + 1]: the share of answers that become longer than 0, 1, ... tokens; none is longer than `most`.

    `ends`: lengths of answers that ended by themselves.  `ages`: those of answers that have not, or were cut.
    """
    every_age = np.minimum(np.array([*ends, *ages], np.int64), most)
    ends_at = np.bincount(np.minimum(np.array(ends, np.int64), most), minlength=most + 1).astype(np.float64)
    last_at = np.bincount(every_age, minlength=most + 1)
    at_risk = len(every_age) - np.cumsum(last_at) + last_at  # answers that reached each length
    hazards = np.divide(ends_at, at_risk, out=np.zeros_like(ends_at), where=at_risk > 0)
    oldest = int(every_age.max(initial=0))
    later = slice(oldest // 2, oldest + 1)
    hazards[oldest + 1 :] = ends_at[later].sum() / max(at_risk[later].sum(), 1.0)
    hazards[most] = 1.0
    shares: Shares = np.cumprod(1 - hazards)
    return shares


def expected_rest(shares: Shares, age: int) -> float:
    """How many tokens an answer of that age still gets, in the mean: sum_{t >= age} S(t) / S(age - 1)."""
    survival = shares[age - 1] if age else 1.0
    return float(shares[age:].sum() / survival) if survival > 0 else 1.0


def last_end(shares: Shares, ages: Sequence[int]) -> int:
    """After how many steps the last of these answers has likely ended: less than half an answer is expected to go on."""
    low, high = 0, len(shares)
    survival = np.array([max(shares[age - 1] if age else 1.0, 1e-12) for age in ages])
    starts = np.array(ages, np.int64)
    while low < high:
        middle = (low + high) // 2
        alive = shares[np.minimum(starts + middle, len(shares) - 1)] / survival
        low, high = (low, middle) if alive.sum() < 0.5 else (middle + 1, high)
    return low


def last_end_in_turn(shares: Shares, ages: Sequence[int], waiting: int, slots: int) -> float:
    """After how many tokens of one answer the last has ended, where `slots` answers are made side by side, each at one speed.

    `ages`: of answers on their way, at most `slots`; `waiting` others follow in turn.  Lengths are spread evenly over what the
    shares make likely, in an order that is mixed once for all.
    """
    mixer = np.random.default_rng(0)

    def spread(count: int) -> NDArray[np.float64]:
        return mixer.permutation((np.arange(count) + 0.5) / max(count, 1))

    every_length = -shares  # ascending, for searchsorted
    survival = np.array([shares[age - 1] if age else 1.0 for age in ages])
    rests = np.searchsorted(every_length, -survival * spread(len(ages))) - np.array(ages, np.int64)
    ends = [*np.maximum(rests, 1).tolist(), *[0] * max(slots - len(ages), 0)]
    heapq.heapify(ends)
    for length in np.searchsorted(every_length, -spread(waiting)).tolist():
        heapq.heapreplace(ends, ends[0] + length)
    return float(max(ends))
