"""No interval is without width, none leaves its range, none depends on the order of rows, and one item is enough for one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.statistics import best_of_many, paired, ratio, training_variance, weighted_means
from harness.statistics.aggregates import Design, Floats, Interval, simple_design
from harness.statistics.estimate import estimate_score
from harness.statistics.pseudo_observations import cluster_weight, least_sign_flip_p, pseudo_square
from harness.statistics.weighted_means import RowSums
from tests.bench.simulated import candidate_pool

SCORE = st.sampled_from([0.0, 1.0, 0.5, 0.99, 1.0, 1.0])
PAIRS = st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=25)


def is_sound(interval: Interval, value: float, least: float, most: float) -> bool:
    return (
        least <= interval.low <= value + 1e-9 and value - 1e-9 <= interval.high <= most and interval.high - interval.low > 1e-6
    )


@pytest.mark.slow
@given(PAIRS, st.sampled_from(["mean", "macro", "f1"]), st.booleans())
def test_intervals_of_scores_and_differences_have_a_width_and_stay_in_range(
    pairs: list[tuple[float, float]], aggregate: str, clustered: bool
) -> None:
    before, after = np.array(pairs).T
    rows = np.arange(len(pairs))
    design = Design(rows // 3 if clustered else rows, rows % 2, aggregate, 0)  # type: ignore[arg-type]
    estimate, difference = estimate_score(before, design), paired.paired_difference(before, after, design)
    assert is_sound(estimate.interval, estimate.score, 0, 1)
    assert is_sound(difference.interval, difference.value, -1, 1)
    assert 0 < difference.quick_p() <= 1


@settings(max_examples=50)
@given(PAIRS, st.randoms(use_true_random=False))
def test_intervals_do_not_depend_on_the_order_of_rows(pairs: list[tuple[float, float]], random: object) -> None:
    before, after = np.array(pairs).T
    order = np.random.default_rng(len(pairs)).permutation(len(pairs))
    design = Design(np.arange(len(pairs)) // 2, np.zeros(len(pairs), np.int64))
    turned = Design(design.cluster[order], design.group[order])
    there, back = paired.paired_difference(before, after, design), paired.paired_difference(before[order], after[order], turned)
    assert (there.interval.low, there.interval.high) == pytest.approx((back.interval.low, back.interval.high), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=25))
def test_ratios_of_counts_are_shares_and_their_intervals_are_too(rows: list[tuple[int, int, int]]) -> None:
    old, new, bottom = np.array(rows, np.float64).T
    cluster = np.arange(len(rows)) // 2
    first, second = ratio.Ratio(np.minimum(old, bottom), bottom), ratio.Ratio(np.minimum(new, bottom), bottom)
    assert is_sound(ratio.ratio_interval(first, cluster, 0.95), first.value, 0, 1)
    difference = ratio.ratio_difference(first, second, cluster, 0.95)
    assert is_sound(difference.interval, difference.value, -1, 1)
    assert 0 < difference.p <= 1


@given(st.lists(st.integers(-300, 300).map(lambda x: x / 7), min_size=1, max_size=10))
def test_a_metric_without_a_range_has_an_interval_with_a_width(values: list[float]) -> None:
    one = ratio.Ratio(np.array(values), np.ones(len(values)))
    interval = ratio.ratio_interval(one, np.arange(len(values)), 0.95)
    assert interval.low <= one.value <= interval.high
    assert interval.high - interval.low > 1e-9


def test_a_pseudo_observation_of_whole_changes_is_a_whole_one_and_of_none_too() -> None:
    assert pseudo_square(np.zeros(40), 1 / 40) == pytest.approx(1 / 1600)
    assert pseudo_square(np.array([0, -1 / 40, 1 / 40]), 1 / 40) == pytest.approx(1 / 1600)
    many, more = (pseudo_square(np.full(n, 0.1 / n), 1 / n) * n**2 for n in (400, 4000))
    assert more < 0.02 < many < 0.1  # the more changes are small, the more small ones are typical


@pytest.mark.parametrize(("n", "small", "share"), [(200, 0.05, 0.01), (100, 0.05, 0.02), (1000, 0.02, 0.002), (200, 0.1, 0.02)])
def test_a_difference_holds_what_few_whole_changes_among_many_small_ones_make(n: int, small: float, share: float) -> None:
    """The coverage to all digits: the number of items that lose everything is binomial, all others lose `small`."""
    chance, covered = stats.binom.pmf(np.arange(n + 1), n, share), 0.0
    truth = -(share + (1 - share) * small)
    for whole in range(int(stats.binom.isf(1e-6, n, share)) + 1):
        change = np.where(np.arange(n) < whole, -1.0, -small)
        interval = paired.paired_difference(np.ones(n), 1 + change, simple_design(n)).interval
        covered += float(chance[whole]) * (interval.low <= truth <= interval.high)
    assert covered >= 0.93


def test_a_few_changes_alike_prove_no_more_than_flipping_their_signs_could() -> None:
    assert least_sign_flip_p(np.array([-0.25] * 4)) == 0.125
    four = training_variance.RecipeScores("a", (np.ones((2, 4)),)), training_variance.RecipeScores("b", (np.zeros((2, 4)),))
    contrast = training_variance.recipe_difference(*four)
    assert contrast.p == 0.125
    assert contrast.interval.low == -1 < 0 < contrast.interval.high


def test_recipes_that_never_err_have_an_interval_of_what_thirty_items_leave_open() -> None:
    recipes = [training_variance.RecipeScores(name, (np.ones((2, 30)),)) for name in "ab"]
    contrast = training_variance.recipe_difference(*recipes)
    assert (contrast.delta, contrast.p) == (0, 1)
    assert contrast.interval.high == -contrast.interval.low == pytest.approx(0.096, abs=0.001)
    single = [training_variance.RecipeScores(name, (np.ones((1, 1)),)) for name in "ab"]
    assert training_variance.recipe_difference(*single).interval == Interval(-1, 1)


@pytest.mark.parametrize("n", [1, 2, 60])
def test_the_best_of_perfect_checkpoints_is_no_surer_than_one_of_them(n: int) -> None:
    with np.errstate(all="raise"):
        choice = best_of_many.select_best(candidate_pool(np.ones((3, n))))
    own = candidate_pool(np.ones((3, n))).own_interval(0, 0.95)
    assert choice.interval.low <= own.low < own.high == choice.interval.high == 1
    assert choice.equals == ("0", "1", "2")


def test_a_single_item_tells_no_two_checkpoints_apart() -> None:
    choice = best_of_many.select_best(candidate_pool(np.array([[1.0], [0.0]])))
    assert choice.equals == ("0", "1")
    assert choice.probability.max() < 0.95


def rows_of(change: Floats) -> RowSums:
    return RowSums(np.arange(len(change)), change / len(change))


def test_two_readings_of_the_same_rows_are_as_sure_as_one_of_them_and_independent_tasks_surer() -> None:
    change = np.random.default_rng(0).choice([1.0, -1.0, 0.0], 200, p=[0.1, 0.05, 0.85])
    one = paired.paired_difference(np.full(200, 0.5), 0.5 + change / 2, simple_design(200))
    elsewhere = RowSums(np.arange(200, 400), change / 200)
    for other, factor in ((rows_of(change), 1.0), (elsewhere, 0.5**0.5)):
        matrix = weighted_means.correlation_matrix([rows_of(change), other])
        _, interval = weighted_means.weighted_mean([one.value] * 2, [one.interval] * 2, [0.5, 0.5], matrix)
        assert interval.high - interval.low == pytest.approx(factor * (one.interval.high - one.interval.low), rel=1e-6)


def test_a_correlation_is_that_of_the_rows_which_both_have() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(size=2000)
    second = 0.6 * first + 0.8 * rng.normal(size=2000)
    matrix = weighted_means.correlation_matrix([rows_of(first), rows_of(second)])
    assert matrix[0, 1] == pytest.approx(np.corrcoef(first, second)[0, 1], abs=0.01)
    half = RowSums(np.arange(1000, 3000), second / 2000)  # row 1000 + i is another one
    assert weighted_means.correlation_matrix([rows_of(first), half])[0, 1] < 0.1


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=5))
def test_a_mean_takes_each_side_from_the_same_side_of_its_members(parts: list[tuple[float, float, float]]) -> None:
    """MOVER (Zou and Donner 2008), by its formula."""
    values, intervals = [v for v, _, _ in parts], [Interval(v - d, v + u) for v, d, u in parts]
    weights = [1 / len(parts)] * len(parts)
    total, interval = weighted_means.weighted_mean(values, intervals, weights)
    assert total - interval.low == pytest.approx(sum((d / len(parts)) ** 2 for _, d, _ in parts) ** 0.5, abs=1e-9)
    assert interval.high - total == pytest.approx(sum((u / len(parts)) ** 2 for _, _, u in parts) ** 0.5, abs=1e-9)


@pytest.mark.parametrize("sizes", [(1, 2, 50), (3, 100), (1, 1, 1, 1, 1, 30, 30, 30, 30, 30)])
def test_small_groups_of_a_macro_mean_are_not_lost_among_the_many_items_of_large_ones(sizes: tuple[int, ...]) -> None:
    """A group of one item weighs as much as one of fifty, and its changes are rarely seen: 61 to 88 % held the truth before."""
    rng = np.random.default_rng(len(sizes))
    group = np.repeat(np.arange(len(sizes)), sizes)
    design, held = Design(np.arange(len(group)), group, "macro"), np.zeros(2)
    for _ in range(100):
        before = (rng.random(len(group)) < 0.5).astype(float)
        after = np.where(rng.random(len(group)) < 0.15, 1 - before, before)
        intervals = estimate_score(before, design).interval, paired.paired_difference(before, after, design).interval
        held += [interval.low <= truth <= interval.high for interval, truth in zip(intervals, (0.5, 0.0), strict=True)]
    assert (held >= 92).all()


def test_equal_groups_weigh_as_before() -> None:
    rows = np.arange(60)
    macro, plain = Design(rows, rows % 3, "macro"), simple_design(60)
    assert cluster_weight(macro) == pytest.approx(cluster_weight(plain)) == pytest.approx(1 / 60)
