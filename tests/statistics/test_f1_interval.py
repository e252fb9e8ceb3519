"""The interval of an F1 from its counts: against scipy's optimiser on scipy's binomial tails, and by exact coverage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from harness.statistics.aggregates import Design, Floats, Interval, critical_value, influences
from harness.statistics.estimate import estimate_score
from harness.statistics.f1_interval import BinomialCount, F1Counts, F1Pairs, PairedCount
from harness.statistics.paired import paired_difference
from harness.statistics.pseudo_observations import information_share

Z = critical_value(0.95)


def f1(recall: float, specificity: float, sizes: tuple[int, int]) -> float:
    """From the textbook: twice precision times recall over their sum."""
    found = sizes[0] * recall
    false = sizes[1] * (1 - specificity)
    precision = found / (found + false) if found + false else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def counts(found: int, positives: int, right: int, rest: int) -> F1Counts:
    return F1Counts(BinomialCount(found, positives), BinomialCount(right, rest), (positives, rest), True)


def pairs(positives: tuple[int, int, int, int], rest: tuple[int, int, int, int]) -> F1Pairs:
    return F1Pairs(PairedCount(*positives), PairedCount(*rest), (positives[0], rest[0]), True)


def mid_p_limit(hits: int, n: int, deviate: float) -> float:
    """The share at a signed deviate, by Brent's method on scipy's binomial distribution."""
    tail = stats.norm.cdf(-abs(deviate))
    if deviate > 0:
        return 1 - mid_p_limit(n - hits, n, -deviate)
    if not hits:
        return 0.0
    return float(
        optimize.brentq(lambda p: stats.binom.sf(hits, n, p) + stats.binom.pmf(hits, n, p) / 2 - tail, 0, 1, xtol=1e-13)
    )


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 18, 19), (0, 1, 5, 5), (2, 3, 0, 7), (9, 10, 184, 190), (0, 2, 10, 30), (5, 5, 0, 0)])
def test_a_score_has_the_smallest_and_largest_f1_of_a_dense_walk_round_the_circle(shape: tuple[int, int, int, int]) -> None:
    found, positives, right, rest = shape
    interval = counts(*shape).interval(Z)
    for sign, end in ((-1, interval.low), (1, interval.high)):
        values = [
            f1(
                mid_p_limit(found, positives, sign * Z * np.cos(angle)),
                mid_p_limit(right, rest, sign * Z * np.sin(angle)) if rest else 1.0,
                (positives, rest),
            )
            for angle in np.linspace(0, np.pi / 2, 91)
        ]
        assert end == pytest.approx(sign * max(sign * v for v in values), abs=2e-5)


@pytest.mark.parametrize(
    "groups", [((10, 5, 2, 1), (30, 20, 3, 2)), ((4, 1, 1, 1), (50, 40, 3, 4)), ((60, 40, 5, 9), (90, 70, 8, 4))]
)
def test_a_difference_ends_where_scipys_optimiser_ends(groups: tuple[tuple[int, int, int, int], ...]) -> None:
    """The largest gain over the six shares themselves, with the sum of squared deviates as a constraint."""
    one = pairs(*groups)
    cells = [(lost + gained, n, right, gained) for n, right, lost, gained in groups]
    shares = [s for changed, n, right, gained in cells for s in ((changed, n), (right, n - changed), (gained, changed))]

    def deviates(p: Floats) -> Floats:
        tails = [stats.binom.sf(k, n, x) + stats.binom.pmf(k, n, x) / 2 for (k, n), x in zip(shares, p, strict=True)]
        return np.array([special.ndtri(np.clip(t, 1e-12, 1 - 1e-12)) for t in tails])

    def loss(p: Floats) -> float:
        (old, new), (old_rest, new_rest) = (
            ((1 - c) * r + c * (1 - g), (1 - c) * r + c * g) for c, r, g in (p[:3].tolist(), p[3:].tolist())
        )
        return f1(old, old_rest, one.sizes) - f1(new, new_rest, one.sizes)

    best = optimize.minimize(
        loss, [k / n for k, n in shares], method="SLSQP", bounds=[(1e-6, 1 - 1e-6)] * 6, options={"ftol": 1e-12},
        constraints={"type": "ineq", "fun": lambda p: Z**2 - float(np.sum(deviates(p) ** 2))},
    )  # fmt: skip
    assert best.success
    assert one.interval(Z).high == pytest.approx(-best.fun, abs=1e-5)


GROUP = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))  # right, wrong, lost, gained


def rows(groups: tuple[tuple[int, int, int, int], ...]) -> tuple[Floats, Floats, Design]:
    """The items of both groups under two checkpoints; the first group is the positive one."""
    cells = ((1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    items = [(*cell, g) for g, group in enumerate(groups) for cell, k in zip(cells, group, strict=True) for _ in range(k)]
    before, after, group = np.array(items).reshape(-1, 3).T
    return before, after, Design(np.arange(len(group)), group.astype(np.int64), "f1", 0)


def is_sound(interval: Interval, value: float, least: float) -> bool:
    return least <= interval.low <= value <= interval.high <= 1 and interval.high - interval.low > 0.001


@pytest.mark.slow
@settings(max_examples=10)
@given(GROUP, GROUP, st.randoms(use_true_random=False))
def test_intervals_hold_the_value_stay_in_range_mirror_and_do_not_depend_on_the_order(
    positives: tuple[int, int, int, int], rest: tuple[int, int, int, int], random: object
) -> None:
    before, after, design = rows((positives, rest))
    if not len(before):
        return
    score, difference = estimate_score(before, design), paired_difference(before, after, design)
    assert is_sound(score.interval, score.score, 0)
    assert is_sound(difference.interval, difference.value, -1)
    back = paired_difference(after, before, design).interval
    assert (back.low, back.high) == (-difference.interval.high, -difference.interval.low)
    order = np.arange(len(before))
    random.shuffle(order)  # type: ignore[attr-defined]
    turned = Design(design.cluster[order], design.group[order], "f1", 0)
    assert estimate_score(before[order], turned).interval == score.interval
    assert paired_difference(before[order], after[order], turned).interval == difference.interval
    if sum(positives):
        assert score.score == pytest.approx(influences(before, design)[0])


def test_a_single_item_has_an_interval_and_no_positive_item_the_whole_range() -> None:
    before, after, design = rows(((1, 0, 0, 0), (0, 0, 0, 0)))
    alone = estimate_score(before, design).interval
    assert (alone.low, alone.high) == pytest.approx((2 * 0.05 / 1.05, 1.0))  # mid-P of 1 of 1: p / 2 = 2.5 %
    assert estimate_score(before, design).at_level(0.99).interval.low < alone.low
    assert paired_difference(before, after, design).interval.high > 0.6
    before, after, design = rows(((0, 0, 0, 0), (3, 0, 2, 0)))
    assert estimate_score(before, design).interval == Interval(0.0, 1.0)
    assert paired_difference(before, after, design).interval == Interval(-1.0, 1.0)


@pytest.mark.parametrize(("positives", "rest"), [(1, 19), (2, 12), (3, 8)])
def test_a_score_of_few_positives_is_held_whatever_the_truth(positives: int, rest: int) -> None:
    """The coverage to all digits: every outcome with its probability.  Linearised, 0 to 8 % at worst."""
    outcomes = list(product(range(positives + 1), range(rest + 1)))
    intervals = [counts(found, positives, right, rest).interval(Z) for found, right in outcomes]
    for recall, specificity in product((0.1, 0.5, 0.9, 0.97), (0.5, 0.85, 0.97)):
        truth = f1(recall, specificity, (positives, rest))
        chances = [
            stats.binom.pmf(found, positives, recall) * stats.binom.pmf(right, rest, specificity) for found, right in outcomes
        ]
        held = sum(c for c, i in zip(chances, intervals, strict=True) if i.low <= truth <= i.high)
        assert held >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "gained"), [(0.05, 0.0), (0.4, 0.0), (0.3, 0.3), (0.0, 0.6)])
def test_a_difference_of_few_positives_is_held(lost: float, gained: float) -> None:
    rng = np.random.default_rng(3)
    sizes, recall, specificity = (2, 18), 0.7, 0.9

    def rate(share: float) -> float:
        return share * (1 - lost) + (1 - share) * gained

    truth = f1(rate(recall), rate(specificity), sizes) - f1(recall, specificity, sizes)
    held, runs = 0, 100
    for _ in range(runs):
        groups = [
            rng.multinomial(n, [p * (1 - lost), (1 - p) * (1 - gained), p * lost, (1 - p) * gained])
            for n, p in zip(sizes, (recall, specificity), strict=True)
        ]
        interval = paired_difference(*rows(tuple(tuple(g.tolist()) for g in groups))).interval
        held += interval.low <= truth <= interval.high
    assert held >= 93


def test_of_many_items_it_is_about_as_wide_as_the_linearised_one() -> None:
    before, after, design = rows(((140, 40, 8, 12), (200, 30, 12, 8)))
    interval, difference = estimate_score(before, design).interval, paired_difference(before, after, design).interval
    (_, old), (_, new) = influences(before, design), influences(after, design)
    for width, influence in ((interval.high - interval.low, old), (difference.high - difference.low, new - old)):
        assert width == pytest.approx(2 * Z * float(np.sqrt(np.sum(influence**2))), rel=0.1)


def test_draws_of_one_problem_count_as_what_they_know() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 5)
    alike, free = np.repeat((rng.random(40) < 0.5).astype(float), 5), (rng.random(200) < 0.5).astype(float)
    assert information_share(alike, clusters) == pytest.approx(0.2, abs=0.01)
    assert information_share(free, clusters) > 0.6
    assert information_share(np.ones(200), clusters) == pytest.approx(0.2)
    assert information_share(free, np.arange(200)) == 1
    group = (np.arange(40) >= 2).astype(np.int64)
    once = estimate_score(alike[::5], Design(np.arange(40), group, "f1", 0)).interval
    drawn = estimate_score(alike, Design(clusters, np.repeat(group, 5), "f1", 0)).interval
    assert drawn.low <= once.low + 0.01
    assert once.high - 0.01 <= drawn.high
