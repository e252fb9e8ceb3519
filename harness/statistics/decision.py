"""The rule that turns an interval and an adjusted p-value into a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["better", "worse", "same", "unclear"]


@dataclass(frozen=True)
class DecisionRule:
    """`level` of the intervals (0..1); a difference of at most `margin` (in the unit of the interval) counts as none."""

    level: float
    margin: float

    def verdict(self, difference: float, interval: tuple[float, float], p_adjusted: float, noisy: bool = False) -> Verdict:
        """better or worse where the adjusted p-value proves it; same where the whole interval lies within the margin.

        `same` is a pair of one-sided tests (Schuirmann 1987), each at half of 1 - level: a difference of the margin or more
        is called the same at most that often.  The p-value knows nothing of noise: where that was measured (`noisy`), the
        interval must exclude 0 as well.
        """
        low, high = interval
        is_proven = p_adjusted <= 1 - self.level and (not noisy or low > 0 or high < 0)
        if is_proven and difference:
            return "better" if difference > 0 else "worse"
        return "same" if -self.margin <= low and high <= self.margin else "unclear"
