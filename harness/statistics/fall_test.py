"""Has a skill fallen?  Two sequential tests on one stream of differences from the baseline, looked at after every round.

`fallen`: the mean difference is shown to be below 0.  `whole`: it is shown to be above -drop.  Between the two both are true,
and the first that is shown counts.  Each errs with probability alpha at most, whenever one looks, and only one of them can err:
what the other one says is true then.  See elimination.py for the bets, and for items of several tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.statistics.elimination import next_bet

if TYPE_CHECKING:
    from harness.statistics.aggregates import Floats

FallState = Literal["whole", "fallen"]


@dataclass
class Bettor:
    """A sequential test that a difference, in items like those of a Race, is larger than `null` (of -1..0)."""

    null: float = 0.0
    log_capital: float = 0.0
    gain: float = 0.0
    square: float = 0.0

    def advance(self, differences: Floats, weights: Floats) -> None:
        """Takes the items [items] of one round; NaN is one that lacks a score on one side, on which nothing is staked."""
        bet = float(next_bet(np.array(self.gain), np.array(self.square)))
        excess = np.nan_to_num(differences - self.null)
        self.log_capital += float(np.log1p(bet * weights * excess).sum())
        self.gain += float((weights * excess).sum())
        self.square += float(((weights * excess) ** 2).sum())


@dataclass
class FallTest:
    """`drop`: in the units of the differences, 0..1.  `verdict`: None until one of the tests decides, and final then."""

    drop: float
    alpha: float
    verdict: FallState | None = None
    below: Bettor = field(default_factory=Bettor)
    above: Bettor = field(init=False)

    def __post_init__(self) -> None:
        self.above = Bettor(-self.drop)

    def advance(self, changes: Floats, weights: Floats) -> None:
        """Takes the items of one round: candidate minus baseline [items], with their weights in the round [items]."""
        if self.verdict:
            return
        self.below.advance(-changes, weights)
        self.above.advance(changes, weights)
        limit = np.log(1 / self.alpha)
        if self.below.log_capital >= limit:
            self.verdict = "fallen"
        elif self.above.log_capital >= limit:
            self.verdict = "whole"
