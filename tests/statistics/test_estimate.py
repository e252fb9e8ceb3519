"""Scores, their influences and intervals, against scipy, statsmodels and first principles."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from harness.statistics import aggregates, estimate
from harness.statistics.aggregates import Design, critical_value, simple_design
from harness.types import Aggregate

SHARES = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=3, max_size=40)


def design(groups: list[int], aggregate: Aggregate = "mean", positive: int = -1) -> Design:
    return Design(np.arange(len(groups)), np.array(groups), aggregate, positive)


@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(right: int, more: int, level: float) -> None:
    n = right + more
    interval = estimate.wilson_interval(right / n, n, critical_value(level))
    assert (interval.low, interval.high) == pytest.approx(proportion_confint(right, n, 1 - level, "wilson"), abs=1e-9)


@given(SHARES)
def test_independent_scores_get_students_interval_with_a_0_and_a_1_among_them(scores: list[float]) -> None:
    values = np.array([*scores, 0.2, 0.7])
    interval = estimate.estimate_score(values, simple_design(len(values))).interval
    low, high = stats.ttest_1samp([*values, 0.0, 1.0], 0).confidence_interval()
    expected = (max(0, min(low, values.mean())), min(1, max(high, values.mean())))
    assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6)), min_size=12, max_size=60))
def test_clusters_get_the_robust_variance_of_statsmodels(pairs: list[tuple[float, int]]) -> None:
    values = np.array([v for v, _ in pairs] + [0.1, 0.9])
    clusters = np.array([c for _, c in pairs] + [7, 8])
    model = sm.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    plan = Design(clusters, np.zeros_like(clusters))
    variance = estimate.robust_variance(aggregates.influences(values, plan)[1], plan)
    assert variance.value == pytest.approx(model.cov_params()[0, 0], abs=1e-9)
    assert variance.freedom == pytest.approx(len(set(clusters)) - 1)


def test_a_macro_mean_is_the_mean_of_groups_with_the_stratified_variance() -> None:
    groups = [0] * 5 + [1] * 20
    scores = np.array([1.0, 0, 1, 1, 0] + [1.0] * 4 + [0.0] * 16)
    plan = design(groups, "macro")
    value, influence = aggregates.influences(scores, plan)
    assert value == pytest.approx((0.6 + 0.2) / 2)
    by_hand = sum(np.var(scores[np.array(groups) == g], ddof=1) / groups.count(g) for g in (0, 1)) / 4
    assert estimate.robust_variance(influence, plan).value == pytest.approx(by_hand, abs=1e-12)


def test_f1_is_that_of_the_positive_group() -> None:
    groups = [7] * 10 + [3] * 8
    scores = np.array([1.0] * 6 + [0.0] * 4 + [1.0] * 5 + [0.0] * 3)  # TP 6, FN 4, TN 5, FP 3
    value, _ = aggregates.influences(scores, design(groups, "f1", positive=7))
    assert value == pytest.approx(2 * 6 / (2 * 6 + 3 + 4))


@given(SHARES, st.sampled_from(["mean", "macro", "f1"]), st.randoms(use_true_random=False))
def test_an_influence_is_what_a_score_more_or_less_does_to_the_aggregate(
    scores: list[float], aggregate: Aggregate, random: object
) -> None:
    values = np.array([*scores, 0.5, 0.5])
    plan = design([i % 3 for i in range(len(values))], aggregate, positive=1)
    middle = aggregates.means_of_strata(values, plan)
    slope = (aggregates.aggregate_slopes(middle, plan) / plan.sizes)[plan.strata]
    for i in (0, 1, len(values) - 1):
        step = np.zeros(len(values))
        step[i] = 1e-6
        up, down = (aggregates.aggregate_value(aggregates.means_of_strata(values + s * step, plan), plan) for s in (1, -1))
        assert slope[i] == pytest.approx((up - down) / 2e-6, abs=1e-6)
    _, influence = aggregates.influences(values, plan)
    assert np.bincount(plan.strata, weights=influence) == pytest.approx(np.zeros(len(plan.sizes)), abs=1e-12)


@pytest.mark.slow
@given(st.lists(st.sampled_from([0.0, 1.0, 0.4]), min_size=1, max_size=30), st.sampled_from(["mean", "macro", "f1"]))
def test_every_interval_holds_its_score_and_has_a_width(scores: list[float], aggregate: Aggregate) -> None:
    plan = design([i % 2 for i in range(len(scores))], aggregate, positive=0)
    value, _ = aggregates.influences(np.array(scores), plan)
    interval = estimate.estimate_score(np.array(scores), plan).interval
    assert 0 <= interval.low <= value + 1e-12
    assert value - 1e-12 <= interval.high <= 1
    assert interval.high - interval.low > 0.001


def test_draws_of_one_problem_do_not_pass_for_more_problems() -> None:
    rng = np.random.default_rng(0)
    ten = rng.integers(0, 2, 50).astype(float)
    once = estimate.estimate_score(ten, simple_design(50)).interval
    tenfold = estimate.estimate_score(
        np.repeat(ten, 10), Design(np.repeat(np.arange(50), 10), np.zeros(500, np.int64))
    ).interval
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low, rel=0.05)


@given(st.lists(st.sampled_from([0.0, 1.0, float("nan")]), min_size=1, max_size=30))
def test_bounds_count_the_unscored_wrong_and_right(scores: list[float]) -> None:
    values = np.array(scores)
    bounds = estimate.unscored_bounds(values, simple_design(len(values)))
    assert bounds.low == pytest.approx(np.nansum(values) / len(values))
    assert bounds.high == pytest.approx((np.nansum(values) + np.isnan(values).sum()) / len(values))
