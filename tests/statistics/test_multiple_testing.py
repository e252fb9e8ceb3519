"""Corrections for many tests, against statsmodels and the definition; power, against enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.statistics import mcnemar, multiple_testing, power

P = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@pytest.mark.slow
@settings(max_examples=20)  # statsmodels takes a sixth of a second for each
@given(P)
def test_holm_agrees_with_statsmodels(p: list[float]) -> None:
    assert multiple_testing.holm(np.array(p)) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-9)


@given(P)
def test_benjamini_hochberg_agrees_with_statsmodels(p: list[float]) -> None:
    assert multiple_testing.benjamini_hochberg(np.array(p)) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_step_down_max_t_does_what_its_definition_says(seed: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    sums = rng.normal(size=(m, 199)).astype(np.float32)
    scale = rng.uniform(0.5, 2, m)
    differences = rng.normal(size=m) * 2
    size, null = np.abs(differences) / scale, np.abs(sums) / scale[:, None]
    order = np.argsort(-size)
    by_hand, worst = np.empty(m), 0.0
    for place, i in enumerate(order):
        left = null[order[place:]].max(axis=0)
        worst = max(worst, (1 + np.sum(left >= size[i])) / 200)
        by_hand[i] = worst
    assert multiple_testing.step_down_max_t(differences, sums, scale) == pytest.approx(by_hand)


def test_max_t_of_one_test_is_its_own_permutation_p() -> None:
    sums = np.arange(-99, 100, dtype=np.float32)[None, :]
    assert multiple_testing.step_down_max_t(np.array([90.0]), sums, np.array([1.0])) == pytest.approx([(1 + 20) / 200])


def test_what_never_changed_is_no_discovery() -> None:
    assert multiple_testing.step_down_max_t(np.zeros(2), np.zeros((2, 99), np.float32), np.zeros(2)) == pytest.approx([1, 1])


def enumerate_power(n: int, discordance: float, delta: float) -> float:
    """The power of the exact test, cell by cell of the trinomial."""
    gain, loss = (discordance + delta) / 2, (discordance - delta) / 2
    return sum(
        float(stats.multinomial.pmf([a, b, n - a - b], n, [loss, gain, 1 - discordance]))
        for a in range(n + 1) for b in range(n + 1 - a) if mcnemar.exact_p(a, b) <= 0.05
    )  # fmt: skip


@pytest.mark.parametrize(("n", "discordance", "delta"), [(30, 0.4, 0.3), (40, 0.2, 0.15), (25, 0.9, 0.0)])
def test_power_is_that_of_the_exact_test(n: int, discordance: float, delta: float) -> None:
    assert power.mcnemar_power(n, discordance, delta) == pytest.approx(enumerate_power(n, discordance, delta), abs=1e-9)


@pytest.mark.slow
@given(st.integers(60, 5000), st.floats(0.02, 0.5))
def test_the_detectable_difference_is_found_four_times_in_five(n: int, discordance: float) -> None:
    detectable = power.detectable_difference(n, discordance)
    if detectable < 1:
        assert power.mcnemar_power(n, discordance, detectable) == pytest.approx(0.8, abs=0.01)


def test_power_is_in_points_of_all_samples_not_of_the_discordant_ones() -> None:
    assert power.detectable_difference(1319, 264 / 1319) == pytest.approx(0.0345, abs=0.001)  # GSM8K: about 3 points, not 17


@pytest.mark.slow
@given(st.floats(0.01, 0.3), st.floats(0.02, 0.5))
def test_the_planned_number_of_items_is_enough_and_not_far_too_many(delta: float, discordance: float) -> None:
    n = power.required_pairs(delta, discordance)
    assert power.mcnemar_power(n, discordance, delta) >= 0.8
    if n > 100:
        assert power.mcnemar_power(int(n * 0.9), discordance, delta) < 0.8
