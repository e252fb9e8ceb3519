"""Scores by a judge that errs: intervals hold the true share as often as they say; a judge that says nothing decides none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.aggregates import Interval, critical_value
from harness.statistics.estimate import wilson_interval
from harness.statistics.judge_error import ClassMean, ErrorRates, difference_interval, share_interval, true_share


def rates(hit: float, miss: float, n: int) -> ErrorRates:
    """Of a judge that is right and wrong in whole numbers of `n` items."""
    sides = [ClassMean.of([1.0] * round(share * n) + [0.0] * (n - round(share * n))) for share in (hit, miss)]
    return ErrorRates(*sides)


def test_the_true_share_is_rogan_and_gladens() -> None:
    # sensitivity 0.9, specificity 0.8: (0.48 + 0.8 - 1) / (0.9 + 0.8 - 1) = 0.4, but for the two items added to each side
    assert true_share(0.48, rates(0.9, 0.2, 100_000)) == pytest.approx(0.4, abs=1e-4)
    assert true_share(0.1, rates(0.9, 0.2, 1000)) == 0.0
    assert np.isnan(true_share(0.5, rates(0.5, 0.5, 100)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "hit", "miss", "n", "labels"),
    [(0.3, 0.9, 0.2, 200, 100), (0.8, 0.75, 0.35, 400, 150), (0.1, 0.95, 0.1, 150, 60)],
)
def test_it_covers_the_truth_as_often_as_it_says(share: float, hit: float, miss: float, n: int, labels: int) -> None:
    random, inside, raw_inside, trials = np.random.default_rng(5), 0, 0, 400
    for _ in range(trials):
        sides = [ClassMean.of((random.random(labels) < p).astype(float).tolist()) for p in (hit, miss)]
        truth = random.random(n) < share
        mean = float(np.where(truth, random.random(n) < hit, random.random(n) < miss).mean())
        raw = wilson_interval(mean, n, critical_value(0.95))
        found = share_interval(mean, raw, ErrorRates(*sides), 0.95)
        inside += found.low <= share <= found.high
        raw_inside += raw.low <= share <= raw.high
    assert inside / trials >= 0.93
    assert raw_inside / trials < 0.9


def test_a_difference_grows_by_what_the_judge_misses() -> None:
    found = difference_interval(0.07, Interval(0.0, 0.14), rates(0.9, 0.2, 100_000), 0.95)
    assert (found.low, found.high) == (pytest.approx(0.0, abs=0.01), pytest.approx(0.2, abs=0.01))


@pytest.mark.slow
@given(st.floats(0, 1), st.integers(0, 40))
def test_a_judge_that_says_nothing_leaves_everything_possible(mean: float, n: int) -> None:
    blind = rates(0.5, 0.5, n)
    assert share_interval(mean, Interval(mean, mean), blind, 0.95) == Interval(0.0, 1.0)
    assert difference_interval(0.1, Interval(0.05, 0.15), blind, 0.95) == Interval(-1.0, 1.0)


def test_the_rates_of_the_opposite_are_the_other_way_round() -> None:
    right = rates(0.9, 0.3, 100)
    assert right.reverse().power == pytest.approx(right.power)
    assert right.reverse().hit.mean == pytest.approx(1 - right.miss.mean)
