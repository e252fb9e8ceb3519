"""How long answers become, from those that have ended and from how old the others are, and when the last will have ended.

The Kaplan-Meier estimator (1958) of the share of answers that reach each length.  Beyond the oldest answer so far, answers end
as rarely as in the older half of the ages that were seen; at the limit of tokens all end.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]
MAX_AGES = 32  # about so many different ages are told from one another
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


@dataclass(frozen=True)
class Work:
    """What is to be done, or was: steps, tokens, the sum of all tokens' ages when they are made (in thousands), and prompts."""

    steps: float
    tokens: float
    context: float
    prompts: float

    def vector(self) -> NDArray[np.float64]:
        """[4]"""
        return np.array([self.steps, self.tokens, self.context, self.prompts])


def expected_work(shares: Shares, ages: Sequence[int], waiting: int, slots: int) -> Work:
    """The work until answers of these ages have ended, and `waiting` others, which follow them in their `slots`."""
    later = np.arange(len(shares), dtype=np.float64)
    alive, none_alive, context = np.zeros(len(shares)), np.zeros(len(shares)), 0.0
    for age, count in count_ages(ages).items():
        survival = np.zeros(len(shares))
        survival[: len(shares) - age] = np.minimum(shares[age:] / max(shares[age - 1] if age else 1.0, 1e-12), 1.0)
        alive += count * survival
        none_alive += count * np.log1p(-np.minimum(survival, 1 - 1e-9))
        context += count * float(survival @ (age + later))
    steps, tokens = float((1 - np.exp(none_alive)).sum()), float(alive.sum())
    if waiting:
        each, slots = float(shares.sum()), max(slots, 1)
        tokens, context = tokens + waiting * each, context + waiting * float(shares @ later)
        last = float((1 - (1 - np.minimum(shares, 1 - 1e-9)) ** slots).sum()) - each  # by which the last outlasts the mean
        steps = max(steps, tokens / slots + last)
    return Work(steps, tokens, context / 1000, waiting)


def count_ages(ages: Sequence[int]) -> Counter[int]:
    """How many answers have each age, rounded down where there are many different ones."""
    width = max((max(ages, default=0) - min(ages, default=0)) // MAX_AGES, 1)
    return Counter(age // width * width for age in ages)


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
