"""The rule that turns an interval and an adjusted p-value into a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["better", "worse", "same", "unclear"]
MAX_UNSCORED = 0.05  # the share of items without a score on one side, above which those that have one decide nothing


@dataclass(frozen=True)
class DecisionRule:
    """`level` of the intervals (0..1); a difference of at most `margin` (in the unit of the interval) counts as none."""

    level: float
    margin: float

    def verdict(self, difference: float, interval: tuple[float, float], p_adjusted: float) -> Verdict:
        """better or worse where the adjusted p-value and the interval both prove it; same where all of it is within the margin.

        The p-value is corrected for all tests and exact; the interval knows of measured noise.  Where their methods disagree
        next to the limit, nothing counts as proven.  `same` is a pair of one-sided tests (Schuirmann 1987), each at half of
        1 - level: a difference of the margin or more is called the same at most that often.
        """
        low, high = interval
        if p_adjusted <= 1 - self.level and (low > 0 or high < 0):
            return "better" if difference > 0 else "worse"
        return "same" if -self.margin <= low and high <= self.margin else "unclear"
