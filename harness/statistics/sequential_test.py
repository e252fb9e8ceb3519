"""An anytime-valid sequential test (an e-process): it may be evaluated after every item without more false alarms.

A bettor stakes a share `bet` of the capital on each next difference d in [-1, 1], at odds that are fair if the mean difference
is m:

    capital *= 1 + bet * (d - m)

If the true mean is at most m, the capital is a supermartingale.  It then ever reaches 1/a with probability at most a (Ville
1939; Shafer 2021; Waudby-Smith and Ramdas 2024), so reaching 1/a rejects at level a, whenever one looks.  For 0/1 scores and
m = 0 the capital is the likelihood ratio of biased to fair coins on the discordant pairs; agreeing pairs leave it alone.

Items must come in random order.  With draws or clusters, an item is a cluster and d its mean difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.statistics import mcnemar
from harness.statistics.aggregates import Design, Floats, Interval, Ints, critical_value

if TYPE_CHECKING:
    from harness.statistics.decision import Verdict

ALPHA = 0.05
BET_WEIGHTS = np.array([0.1, 0.8, 0.1])
MAX_BET = 0.9
PRECISION = 1e-6  # of an interval's ends
CHUNK_SIZE = 256  # differences in memory at once
MARGIN_DISCORDANCES = (0.05, 0.1, 0.2, 0.4)  # the discordances for which the bets against a margin are the best ones


@dataclass(frozen=True)
class SequentialPlan:
    """A test of better against worse, or of a difference within `margin` (0..1; 0: no such test), on at most `items` items."""

    items: int
    margin: float = 0.0
    alpha: float = ALPHA

    @cached_property
    def bets(self) -> Floats:
        """[3]: a small, a typical and a large bet; the capital is spread over them by BET_WEIGHTS."""
        # The best bet is difference / discordance.  The typical one aims at 1.5 times the difference that all items would just
        # detect, 1.5 * 2.8 / sqrt(discordance * items), at a discordance of 1/7.
        typical = min(0.6, 11 / np.sqrt(self.items))
        bets: Floats = np.minimum(np.array([0.4, 1.0, 2.2]) * typical, MAX_BET)
        return bets

    @cached_property
    def margin_bets(self) -> Floats:
        bets: Floats = np.minimum(self.margin / np.array(MARGIN_DISCORDANCES), 0.5)
        return bets


@dataclass(frozen=True)
class SequentialDecision:
    verdict: Verdict
    items_used: int  # until the decision, of `items`
    items: int
    delta: float  # mean difference of the items used
    interval: Interval  # valid at any stopping time; it bears the verdict out, see `bearing_interval`


def decide(differences: Floats, plan: SequentialPlan) -> SequentialDecision:
    """The first decision along `differences` [items], candidate minus baseline in their order; `unclear` if there is none.

    NaN is an item that lacks a score on one side: no test takes it, because no difference seen is not a difference of 0.
    `better` and `worse` are each tested at half of alpha.  `same` needs a difference of the margin or more ruled out on both
    sides, each at half of alpha (Schuirmann 1987).  After the last item, undecided 0/1 scores are tested once more with the
    error that is left over.
    """
    limit = np.log(2 / plan.alpha)
    events: list[tuple[int, Verdict]] = [
        (first_crossing(log_capital(differences, plan.bets, 0.0) >= limit), "better"),
        (first_crossing(log_capital(-differences, plan.bets, 0.0) >= limit), "worse"),
    ]
    if plan.margin:
        below = first_crossing(log_capital(-differences, plan.margin_bets, -plan.margin) >= limit)
        above = first_crossing(log_capital(differences, plan.margin_bets, -plan.margin) >= limit)
        events.append((max(below, above), "same"))
    count, verdict = min(events, key=lambda e: e[0])
    is_final = count > len(differences)
    if is_final:
        count, verdict = len(differences), final_verdict(differences, plan)
    so_far = differences[:count]
    so_far = so_far[~np.isnan(so_far)]
    mean = float(so_far.mean()) if len(so_far) else 0.0
    return SequentialDecision(verdict, count, plan.items, mean, bearing_interval(so_far, plan, verdict, is_final))


def bearing_interval(values: Floats, plan: SequentialPlan, verdict: Verdict, is_final: bool) -> Interval:
    """The interval of the scored differences that agrees with the verdict.

    Where the bets decided, they have rejected 0 or the margin, and so does the interval.  Where the exact test after the last
    item decided, it is Tango's of all items, as that test's.
    """
    if is_final and verdict != "unclear":
        gains, losses = int(np.sum(values > 0)), int(np.sum(values < 0))
        return mcnemar.tango_interval(losses, gains, len(values), critical_value(1 - plan.alpha))
    interval = confidence_interval(values, plan)
    if verdict == "same":  # by other bets, which rejected all beyond the margin
        return Interval(max(interval.low, -plan.margin), min(interval.high, plan.margin))
    return interval


def first_crossing(hits: npt.NDArray[np.bool_]) -> int:
    """The number of items up to the first hit; one more than the number of items where there is none."""
    return int(hits.argmax()) + 1 if hits.any() else len(hits) + 1


def log_capital(differences: Floats, bets: Floats, null: float) -> Floats:
    """[items]: the logarithm of the capital after each item, spread over `bets` on a mean above `null`."""
    weights = BET_WEIGHTS if len(bets) == len(BET_WEIGHTS) else np.full(len(bets), 1 / len(bets))
    gains = np.cumsum(np.nan_to_num(np.log1p(np.outer(differences - null, bets))), axis=0)
    mixture: Floats = special.logsumexp(gains, axis=1, b=weights)
    return mixture


def final_verdict(differences: Floats, plan: SequentialPlan) -> Verdict:
    """The verdict of 0/1 scores after the last item: the exact two-sided test, given that nothing was decided before.

    `same` is then tested once more with Tango's interval; with the bets before, each side errs with at most alpha in all.
    """
    values = differences[~np.isnan(differences)]
    if len(differences) < plan.items or not len(values) or not np.all(np.isin(values, (-1.0, 0.0, 1.0))):
        return "unclear"
    gains, losses = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    if gains != losses and final_p(gains + losses, abs(gains - losses), plan) <= plan.alpha:
        return "better" if gains > losses else "worse"
    interval = mcnemar.tango_interval(losses, gains, len(values), critical_value(1 - plan.alpha))
    return "same" if plan.margin and -plan.margin <= interval.low and interval.high <= plan.margin else "unclear"


def final_p(flips: int, lead: int, plan: SequentialPlan) -> float:
    """The probability, for fair coins, of an earlier decision within `flips` flips or of a final lead of at least `lead`.

    Exact, flip by flip.  Given the number of flips it is a test of level alpha, hence also over a random number of flips.
    """
    limit = np.log(2 / plan.alpha)
    # `alive` [m + 1] holds the probability of each number of gains among the paths that no bet has stopped.
    alive, crossing_chance = np.array([1.0]), 0.0
    log_up, log_down, weights = np.log1p(plan.bets), np.log1p(-plan.bets), BET_WEIGHTS[:, None]
    for m in range(1, flips + 1):
        alive = np.concatenate([alive, [0.0]]) / 2 + np.concatenate([[0.0], alive]) / 2
        ups = np.maximum(np.arange(m + 1), m - np.arange(m + 1))
        log_wealth = special.logsumexp(np.outer(log_up, ups) + np.outer(log_down, m - ups), axis=0, b=weights)
        crossing_chance += float(alive[log_wealth >= limit].sum())
        alive[log_wealth >= limit] = 0.0
    leads = np.abs(2 * np.arange(flips + 1) - flips)
    return crossing_chance + float(alive[leads >= lead].sum())


def confidence_interval(differences: Floats, plan: SequentialPlan, steps: int = 400) -> Interval:
    """The mean differences that the bets have not rejected, each side at half of alpha."""
    values, counts = np.unique(differences, return_counts=True)
    limit = np.log(2 / plan.alpha)

    def is_open(means: Floats) -> npt.NDArray[np.bool_]:
        """[means]: whether neither the bets on more nor those on less have reached the limit."""
        wealth = [log_wealth(side * values, counts, side * means, plan.bets) for side in (1, -1)]
        return np.asarray((wealth[0] < limit) & (wealth[1] < limit))

    grid = np.linspace(-1, 1, steps + 1)
    inside = np.flatnonzero(is_open(grid))
    if not len(inside):
        return Interval(-1, 1)
    low, high = grid[inside[0]], grid[inside[-1]]
    if inside[0] > 0:
        low = last_open(is_open, float(low), float(grid[inside[0] - 1]))
    if inside[-1] < steps:
        high = last_open(is_open, float(high), float(grid[inside[-1] + 1]))
    return Interval(float(low), float(high))


def log_wealth(values: Floats, counts: Ints, means: Floats, bets: Floats) -> Floats:
    """[means]: the logarithm of the capital of bets that differences, `counts` of each of `values`, exceed each mean.

    At a mean of 0 or less these are the bets of `decide`; above it they shrink, so that 1 + bet * (d - mean) stays positive.
    """
    fair_bets = np.minimum(bets, MAX_BET / (1 + np.maximum(means, 0))[:, None])  # [means, bets]
    gains = np.zeros_like(fair_bets)
    for start in range(0, len(values), CHUNK_SIZE):
        part = slice(start, start + CHUNK_SIZE)
        excess = (values[part] - means[:, None])[:, :, None]  # [means, values, 1]
        gains += np.einsum("v,mvb->mb", counts[part], np.log1p(excess * fair_bets[:, None, :]))
    wealth: Floats = special.logsumexp(gains, axis=1, b=BET_WEIGHTS)
    return wealth


def last_open(is_open: Callable[[Floats], npt.NDArray[np.bool_]], inside: float, outside: float) -> float:
    """The end of an interval between a mean that is not rejected and one that is, by bisection."""
    while abs(inside - outside) > PRECISION:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if is_open(np.array([middle]))[0] else (inside, middle)
    return inside


def cluster_differences(change: Floats, design: Design) -> tuple[Floats, float]:
    """[items] in [-1, 1] and a scale: the clusters' differences, whose mean times the scale is the task's difference.

    `change` [samples] is candidate minus baseline.  A cluster counts by its weight in the aggregate (mean or macro), divided
    by the heaviest cluster's weight, so that no bet can lose more than it stakes.
    """
    if len(change) == 0:
        return change, 1.0
    weight = 1 / (len(design.sizes) * design.sizes)[design.strata]
    heaviest = float(np.bincount(design.clusters, weights=weight).max())
    items = np.bincount(design.clusters, weights=weight * change) / heaviest
    return items, heaviest * len(items)
