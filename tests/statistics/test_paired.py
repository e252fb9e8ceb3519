"""Paired differences: exact tests and score intervals, against scipy, statsmodels and the likelihood itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from harness.statistics import mcnemar, paired, sign_flip_test
from harness.statistics.aggregates import Design, Floats, simple_design

COUNT = st.integers(0, 60)


@given(COUNT, COUNT)
def test_exact_mcnemar_agrees_with_statsmodels(losses: int, gains: int) -> None:
    theirs = statsmodels_mcnemar([[3, losses], [gains, 5]], exact=True).pvalue if losses + gains else 1.0
    assert mcnemar.exact_p(losses, gains) == pytest.approx(theirs, abs=1e-9)


def likeliest_share(losses: int, gains: int, n: int, difference: float) -> float:
    """The share of losses that makes the data likeliest when gains are `difference` more."""

    def surprise(share: float) -> float:
        cells = [(losses, share), (gains, share + difference), (n - losses - gains, 1 - 2 * share - difference)]
        return -sum(k * np.log(max(p, 1e-300)) for k, p in cells if k)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    return float(optimize.minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 200), st.floats(-0.6, 0.6))
def test_the_score_statistic_uses_the_likeliest_fit(losses: int, gains: int, alike: int, difference: float) -> None:
    n = losses + gains + alike
    share = likeliest_share(losses, gains, n, difference)
    variance = n * (2 * share + difference - difference**2)
    if variance < 1e-3:
        return
    by_hand = (gains - losses - n * difference) / np.sqrt(variance)
    assert mcnemar.score_statistic(losses, gains, n, difference) == pytest.approx(by_hand, rel=1e-3, abs=1e-3)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 300))
def test_the_score_interval_ends_where_the_statistic_reaches_the_critical_value(losses: int, gains: int, alike: int) -> None:
    n = losses + gains + alike + 1
    interval = mcnemar.tango_interval(losses, gains, n, 1.96)
    assert -1 <= interval.low <= (gains - losses) / n <= interval.high <= 1
    assert interval.high - interval.low > 0
    if interval.low > -1 + 1e-9:
        assert mcnemar.score_statistic(losses, gains, n, interval.low) == pytest.approx(1.96, abs=1e-4)
    mirror = mcnemar.tango_interval(gains, losses, n, 1.96)
    assert (mirror.low, mirror.high) == pytest.approx((-interval.high, -interval.low), abs=1e-9)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=40))
def test_sign_flips_of_0_1_scores_are_mcnemars_test(change: list[float]) -> None:
    flips = [c for c in change if c][: sign_flip_test.ENUMERATION_LIMIT]
    exact = mcnemar.exact_p(flips.count(-1), flips.count(1))
    assert sign_flip_test.two_sided_p(np.array(flips)).p == pytest.approx(exact, abs=1e-9)


@pytest.mark.slow
@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 2)), min_size=2, max_size=9))
def test_few_sign_flips_are_enumerated_as_scipy_does(change: list[float]) -> None:
    values = np.array(change)
    theirs = stats.permutation_test(
        (values, np.zeros(len(values))), lambda a, b: abs(np.sum(a - b)), permutation_type="samples", alternative="greater"
    )
    assert sign_flip_test.two_sided_p(values).p == pytest.approx(theirs.pvalue, abs=1e-9)


def test_many_sign_flips_are_drawn_and_the_error_is_told() -> None:
    rng = np.random.default_rng(3)
    values = rng.choice([-1.0, 1.0], 200, p=[0.42, 0.58])
    drawn_p = sign_flip_test.two_sided_p(values, seed=1)
    exact = mcnemar.exact_p(int(np.sum(values < 0)), int(np.sum(values > 0)))
    assert 0 < drawn_p.error < 0.01
    assert abs(drawn_p.p - exact) < 4 * drawn_p.error + 1e-4


def test_signs_are_drawn_in_pieces_and_shared_by_all_candidates() -> None:
    contributions = np.random.default_rng(0).normal(size=(50, 3))
    contributions[:, 2] = -contributions[:, 0]
    sums = sign_flip_test.draw_sums(contributions, draws=1500)
    assert sums.shape == (3, 1500)
    assert sums[2] == pytest.approx(-sums[0], abs=1e-5)
    assert sums[0].std() == pytest.approx(np.sqrt(np.sum(contributions[:, 0] ** 2)), rel=0.1)


def scores(n: int) -> st.SearchStrategy[Floats]:
    return st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=n, max_size=n).map(lambda x: np.array(x))


@pytest.mark.slow
@settings(max_examples=50)
@given(scores(24), scores(24), st.sampled_from(["mean", "macro", "f1"]))
def test_swapping_the_two_checkpoints_turns_the_difference_round(before: Floats, after: Floats, aggregate: str) -> None:
    plan = Design(np.arange(24) // 2, np.arange(24) % 3, aggregate, 1)  # type: ignore[arg-type]
    there, back = paired.paired_difference(before, after, plan), paired.paired_difference(after, before, plan)
    assert there.value == pytest.approx(-back.value)
    assert (there.interval.low, there.interval.high) == pytest.approx((-back.interval.high, -back.interval.low))
    assert there.contributions == pytest.approx(-back.contributions)
    assert there.test().p == pytest.approx(back.test().p)
    assert there.interval.low <= there.value <= there.interval.high


@given(scores(30), scores(30))
def test_contributions_to_a_mean_add_up_to_its_difference(before: Floats, after: Floats) -> None:
    plan = Design(np.arange(30) // 3, np.arange(30) % 2, "macro")
    difference = paired.paired_difference(before, after, plan)
    assert difference.contributions.sum() == pytest.approx(difference.value, abs=1e-12)


def test_an_independent_paired_difference_gets_about_students_interval() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(400), rng.random(400)
    interval = paired.paired_difference(before, after, simple_design(400)).interval
    low, high = stats.ttest_rel(after, before).confidence_interval()
    # Two pseudo-observations make it a little wider.
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-4)
    assert interval.low < low < high < interval.high


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1)), st.data())
def test_no_difference_beyond_the_range_is_called_detectable(before: Floats, data: st.DataObject) -> None:
    """Of one or two items Student's t alone would give 1,355 points."""
    after = data.draw(hnp.arrays(np.float64, len(before), elements=st.floats(0, 1)))
    assert 0 < paired.paired_difference(before, after, simple_design(len(before))).detectable(0.95) <= 1
