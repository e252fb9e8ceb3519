"""Verdicts: is a difference where the hypothesis has it, beyond it, or not decided?

A direction is a region of differences: greater is (0, ∞), less (-∞, 0), equal (-margin, margin), not greater (-∞, margin),
not less (-margin, ∞).  A hypothesis is supported where the interval lies inside of its region and contradicted where it
lies outside, both after correction for the number of tests.  An equal that is supported is a pair of one-sided tests
(Schuirmann 1987).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scipy import special

from harness.statistics.training_variance import Between
from harness.studies.claims.claims_file import Direction

Verdict = Literal["supported", "contradicted", "not decided", "not run"]
INFINITE = float("inf")


@dataclass(frozen=True)
class Tested:
    """Two-sided p-values: of being inside the region, and outside."""

    inside: float
    outside: float

    @property
    def p(self) -> float:
        return min(self.inside, self.outside)


def region(direction: Direction, margin: float) -> tuple[float, float]:
    """The differences that the hypothesis allows, in the unit of the margin."""
    return {
        "greater": (0.0, INFINITE),
        "less": (-INFINITE, 0.0),
        "equal": (-margin, margin),
        "not greater": (-INFINITE, margin),
        "not less": (-margin, INFINITE),
    }[direction]


def test(found: Between, bounds: tuple[float, float]) -> Tested:
    """Student's test at the region's ends: p is below 1 - level exactly where the interval lies on one side of them."""
    low, high = bounds
    above_low, below_high = beyond(found, found.delta - low), beyond(found, high - found.delta)
    inside = max(above_low, below_high)
    outside = min(beyond(found, low - found.delta), beyond(found, found.delta - high))
    return Tested(inside, outside)


def beyond(found: Between, distance: float) -> float:
    """The two-sided p-value of a difference that lies `distance` beyond an end; 1 where it does not lie beyond it."""
    if distance == INFINITE:
        return 0.0
    if distance <= 0:
        return 1.0
    if found.error == 0:
        return 0.0
    return float(2 * special.stdtr(found.freedom, -distance / found.error))


def verdict(tested: Tested, adjusted: float, alpha: float) -> Verdict:
    if adjusted > alpha:
        return "not decided"
    return "supported" if tested.inside <= tested.outside else "contradicted"


def all_of(parts: list[Verdict]) -> Verdict:
    """The verdict on a claim of several tests: every one must hold."""
    if "contradicted" in parts:
        return "contradicted"
    if "not run" in parts:
        return "not run" if set(parts) == {"not run"} else "not decided"
    return "not decided" if "not decided" in parts else "supported"
