"""Tests without an end share one error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.alpha_spending import draws_to_reject, spend_alpha
from harness.statistics.multiple_testing import holm


@given(st.floats(1e-6, 0.5), st.integers(1, 3000))
def test_the_levels_of_all_tests_sum_to_no_more_than_the_error(alpha: float, count: int) -> None:
    total = sum(spend_alpha(alpha, number) for number in range(1, count + 1))
    assert total == pytest.approx(alpha * count / (count + 1))


def test_equal_checkpoints_raise_an_alarm_in_5_percent_of_runs_at_most() -> None:
    rng, runs, looks = np.random.default_rng(0), 20_000, 40
    levels = np.array([spend_alpha(0.05, number) for number in range(1, looks + 1)])
    apart = rng.random((runs, looks))
    alike = np.repeat(rng.random((runs, 1)), looks, axis=1)
    rates = [float(np.any(p <= levels, axis=1).mean()) for p in (apart, alike)]
    assert 0.04 < rates[0] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)  # neither more nor far less
    assert rates[1] < 0.03


@given(st.floats(1e-4, 0.1), st.integers(1, 20))
def test_the_draws_are_enough_for_a_family_to_be_rejected(alpha: float, tests: int) -> None:
    smallest = 1 / (draws_to_reject(alpha, tests) + 1)
    assert holm(np.full(tests, smallest)).max() <= alpha
