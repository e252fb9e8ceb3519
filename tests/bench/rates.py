"""A promise, and the rate at which simulations keep it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tests.bench.simulated import Rng

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class PromiseLine:
    """One line of the table: a rate (0..1) with its Monte Carlo error, and the range that is promised."""

    kind: str
    subject: str
    rate: float
    error: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        return self.low - 3 * self.error <= self.rate <= self.high + 3 * self.error

    def text(self) -> str:
        promise = f"<= {100 * self.high:.0f}" if self.low == 0 else f"{100 * self.low:.0f} to {100 * self.high:.0f}"
        mark = "" if self.holds else "  BROKEN"
        return f"| {self.kind} | {self.subject} | {promise} | {100 * self.rate:.1f} ± {100 * self.error:.1f}{mark} |"


def rate_line(kind: str, what: str, hits: list[bool], low: float, high: float) -> PromiseLine:
    """A line from simulations with a yes or no each.  The error is the largest at the rate and the range's ends."""
    rate = float(np.mean(hits))
    return PromiseLine(
        kind, what, rate, max(float(np.sqrt(p * (1 - p) / len(hits))) for p in (rate, low, min(high, 1.0))), low, high
    )


def run_trials(runs: int, trial: Callable[[Rng], Outcome], what: str) -> list[Outcome]:
    """The outcomes of `runs` simulations; the text of the line is the seed, so rewording a line changes its numbers."""
    rng = np.random.default_rng(list(what.encode()))
    return [trial(rng) for _ in range(runs)]


def alarm_line(what: str, runs: int, trial: Callable[[Rng], bool]) -> PromiseLine:
    return rate_line("false alarm", what, run_trials(runs, trial, what), 0.0, 0.05)


def coverage_line(what: str, runs: int, trial: Callable[[Rng], bool], high: float = 0.97) -> PromiseLine:
    return rate_line("coverage", what, run_trials(runs, trial, what), 0.93, high)
