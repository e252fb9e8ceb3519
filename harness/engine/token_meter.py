"""How many tokens a model has computed, and how long the rest will take: it moves while no sample is ready yet.

How long answers become is unknown, so it is estimated from those that have ended and from how old the others are: the
Kaplan-Meier estimator (1958) of the share of answers that reach each length.  Beyond the oldest answer so far, answers end as
rarely as in the older half of the ages that were seen; at `max_tokens` all end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.engine.sequences import DecodingRow

Report = Callable[[int, float], None]  # tokens computed so far, seconds that are left
INTERVAL_S = 1.0  # between reports
RECENT_S = 30.0  # the speed is that of so many last seconds
Shares = NDArray[np.float64]


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


@dataclass
class TokenMeter:
    """Counts the tokens of one call for answers, and reports them about once a second.

    `waiting`: answers that have not begun.  `most`: tokens of the longest answer that is allowed.
    """

    report: Report
    answers: int = 0
    most: int = 1
    clock: Callable[[], float] = time.monotonic
    tokens: int = 0
    rows: dict[int, DecodingRow] = field(default_factory=dict)  # by their prompts: one that began anew is counted once
    history: list[tuple[float, int, int]] = field(default_factory=list)  # time, tokens, steps
    steps: int = 0

    def begin(self, answers: int, most: int) -> None:
        """Before a list of texts is generated."""
        self.answers, self.most, self.rows, self.steps, self.history = answers, most, {}, 0, [(self.clock(), self.tokens, 0)]

    def count_part(self, tokens: int, share: float, start: float) -> None:
        """After a part of a tree: `share` of it (0..1) since `start`."""
        self.tokens = max(self.tokens, tokens)
        now = self.clock()
        if share > 0 and (not self.history or now - self.history[-1][0] >= INTERVAL_S):
            self.history = [(now, self.tokens, 0)]
            self.report(self.tokens, (now - start) * (1 - share) / share)

    def count_step(self, rows: Sequence[DecodingRow]) -> None:
        """After one more token for each of these rows."""
        for row in rows:
            self.rows[id(row.prompt)] = row
        self.tokens, self.steps = self.tokens + len(rows), self.steps + 1
        now = self.clock()
        if now - self.history[-1][0] >= INTERVAL_S:
            self.history.append((now, self.tokens, self.steps))
            while now - self.history[1][0] > RECENT_S:
                self.history.pop(0)
            self.report(self.tokens, self.seconds_left())

    def seconds_left(self) -> float:
        """By the tokens to come at the speed so far, or more where a few long answers will go on alone.

        A step costs less with fewer rows, but not in proportion: the tokens at the full speed are too few seconds, the steps of
        the last answer at today's are too many, and their geometric mean lies between.
        """
        ends = [len(row.ids) for row in self.rows.values() if row.finish == "stop"]
        cuts = [len(row.ids) for row in self.rows.values() if row.finish == "length"]
        ages = [len(row.ids) for row in self.rows.values() if not row.finish]
        shares = reaching_shares(ends, [*cuts, *ages], self.most)
        waiting = max(self.answers - len(self.rows), 0)
        tokens = sum(expected_rest(shares, age) for age in ages) + waiting * expected_rest(shares, 0)
        (start, first_tokens, first_steps), (now, last_tokens, last_steps) = self.history[0], self.history[-1]
        seconds = max(now - start, 1e-9)
        by_tokens = tokens * seconds / max(last_tokens - first_tokens, 1)
        by_steps = last_end(shares, ages) * seconds / max(last_steps - first_steps, 1) if ages else 0.0
        return math.sqrt(by_tokens * max(by_tokens, by_steps))
