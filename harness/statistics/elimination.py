"""Successive elimination: which of k contestants is the best, from a small part of all answers, with one error for the race.

All contestants get the same items, in rounds that hold items of every task.  Before each round the contestant with the highest
score so far is the leader.  Against every other contestant i a bettor stakes a share `bet` on the leader:

    capital_i *= product over the round's items of (1 + bet * a * d),   d = leader's score minus i's, a = weight of the item

Leader and bet are chosen from earlier rounds alone.  The weights a of a round are in proportion to the task's share of the
target divided by its items in the round, so if i is the best, with E[d] the mean of a task,

    E[product] = product of (1 + bet * a * E[d]) <= exp(bet * sum of a * E[d]) <= 1

The capital then ever reaches 1/alpha with probability alpha at most (Ville 1939).  Only the best can be lost wrongly, and it
has one capital, whoever leads: no correction for k is needed (the bets follow Waudby-Smith and Ramdas 2024).

Items must come in random order.  Those of different tasks, and those of one round, are independent given the contestants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from harness.statistics.aggregates import Floats, Ints

ALPHA = 0.05
FINAL_SHARE = 0.5  # of alpha: for the test after the last item
MISSES = 0.2  # the race may end when asking the rest would remove this many contestants in expectation
MAX_BET = 0.9
PRIOR_GAIN, PRIOR_SQUARE = 4.0, 16.0  # the first bet is a quarter; the larger both are, the more items move it


def plan_rounds(sizes: Ints) -> Ints:
    """[rounds + 1, tasks]: how many items of each task are asked after each round; the last row is `sizes`.

    The first rounds take an item of every task, which tells most about contestants that are far behind.  Later ones take more
    of the long tasks, so that no task ends before the others.
    """
    smallest = int(sizes.min())
    share = np.arange(smallest + 1)[:, None] / smallest
    counts: Ints = np.floor(smallest * share * (sizes / smallest) ** share + 1e-9).astype(np.int64)
    counts[-1] = sizes
    return counts


def round_weights(tasks: Ints, shares: Floats) -> Floats:
    """[items]: the weight of each item of a round, in proportion to share / items of its task; the largest is 1."""
    coefficients = shares / np.maximum(np.bincount(tasks, minlength=len(shares)), 1)
    return np.asarray((coefficients / coefficients.max())[tasks])


def next_bet(gain: Floats, square: Floats) -> Floats:
    """The bet that would have grown the capital most (Kelly's, to second order), from weighted sums of differences so far."""
    bets: Floats = np.clip((gain + PRIOR_GAIN) / (square + PRIOR_SQUARE), 0, MAX_BET)
    return bets


@dataclass(frozen=True)
class Round:
    """Scores [items, contestants] in 0..1, NaN where there is none, and the task of each item [items]."""

    scores: Floats
    tasks: Ints


@dataclass
class Race:
    """k contestants on tasks of `sizes` items [tasks], whose scores count by `shares` [tasks]."""

    contestants: int
    sizes: Ints
    shares: Floats
    alpha: float = ALPHA
    rounds: int = 0
    log_capital: Floats = field(init=False)  # [k], against each contestant
    is_alive: np.typing.NDArray[np.bool_] = field(init=False)
    lead_when_left: Floats = field(init=False)  # [k]: the leader's lead over each one that left, when it left
    sums: Floats = field(init=False)  # [tasks, k, k]: sum of row minus column
    squares: Floats = field(init=False)  # [tasks, k, k]: sum of its squares
    counts: Ints = field(init=False)  # [tasks]: items so far

    def __post_init__(self) -> None:
        k, tasks = self.contestants, len(self.sizes)
        self.log_capital, self.is_alive, self.lead_when_left = np.zeros(k), np.ones(k, bool), np.full(k, np.nan)
        self.sums, self.squares = np.zeros((2, tasks, k, k))
        self.counts = np.zeros(tasks, np.int64)
        self.gain, self.square = np.zeros((2, k, k))

    @property
    def alive(self) -> Ints:
        """The contestants that are still in the race, by number."""
        return np.flatnonzero(self.is_alive)

    def leads(self) -> Floats:
        """[k, k]: the score of the row minus that of the column so far."""
        leads: Floats = np.einsum("t,tij->ij", self.shares / np.maximum(self.counts, 1), self.sums)
        return leads

    def leader(self) -> int:
        """The contestant with the highest score so far, of those in the race; of equal ones the first."""
        alive = self.alive
        return int(alive[np.argmax(self.leads()[alive, alive[0]])])

    def advance(self, block: Round) -> None:
        """Takes one round, and removes whoever the capital is enough against."""
        weights = round_weights(block.tasks, self.shares)
        leader = self.leader()
        bets = next_bet(self.gain[leader], self.square[leader])
        differences = np.nan_to_num(block.scores[:, [leader]] - block.scores)
        self.log_capital += np.log1p(bets * weights[:, None] * differences).sum(axis=0)
        self.count(block, weights)
        limit = -np.log(self.alpha * (1 - FINAL_SHARE))
        self.remove((self.log_capital >= limit) & (np.arange(self.contestants) != leader))
        self.rounds += 1

    def remove(self, is_beaten: np.typing.NDArray[np.bool_]) -> None:
        """Takes contestants out of the race."""
        leaving = self.is_alive & is_beaten
        self.lead_when_left[leaving] = self.leads()[self.leader(), leaving] if leaving.any() else np.nan
        self.is_alive &= ~is_beaten

    def count(self, block: Round, weights: Floats) -> None:
        """Adds the round to the sums over pairs; a pair of which one side has no score counts as no difference."""
        gaps = np.nan_to_num(block.scores[:, :, None] - block.scores[:, None, :])
        self.gain += np.einsum("n,nij->ij", weights, gaps)
        self.square += np.einsum("n,nij->ij", weights**2, gaps**2)
        for task in np.unique(block.tasks):
            own = gaps[block.tasks == task]
            self.sums[task] += own.sum(axis=0)
            self.squares[task] += (own**2).sum(axis=0)
        self.counts += np.bincount(block.tasks, minlength=len(self.counts))

    @property
    def critical_value(self) -> float:
        """Standard errors by which a contestant must lead another after the last item."""
        return float(special.ndtri(1 - self.alpha * FINAL_SHARE / max(self.contestants - 1, 1)))

    def variances(self, counts: Ints) -> Floats:
        """[k, k]: of the leads after `counts` items, as the items so far tell, with two pseudo-observations of a whole item."""
        spread = (self.squares + 2) / np.maximum(self.counts, 1)[:, None, None]
        variances: Floats = np.einsum("t,tij->ij", self.shares**2 / counts, spread)
        return variances

    def finish(self) -> None:
        """After the last item: removes everybody whom another one leads by the critical value."""
        z = self.leads() / np.sqrt(self.variances(self.counts))
        alive = self.alive
        self.remove(z[alive].max(axis=0) >= self.critical_value)

    def expected_removals(self) -> float:
        """How many contestants asking all the rest would remove, in expectation, if scores go on as they did so far."""
        leader, alive = self.leader(), self.alive
        others = alive[alive != leader]
        at_end = self.variances(self.sizes)[leader, others]
        rest = np.maximum(self.variances(np.maximum(self.counts, 1))[leader, others] - at_end, 1e-12)
        shortfall = self.critical_value * np.sqrt(at_end) - self.leads()[leader, others]
        return float(special.ndtr(-shortfall / np.sqrt(rest)).sum())

    def is_decided(self) -> bool:
        """Whether one is left, or asking the rest would hardly change who is."""
        return len(self.alive) == 1 or (self.rounds > 0 and self.expected_removals() <= MISSES)
