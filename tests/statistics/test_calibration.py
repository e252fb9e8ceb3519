"""Calibration error: known values, and a difference whose interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.aggregates import Floats
from harness.statistics.calibration import Calibration, calibration_difference, confidence_of, measure_calibration


def measure(confidence: list[float], right: list[float]) -> Calibration:
    return measure_calibration(np.array(confidence), np.array(right), np.arange(len(right)))


def test_ece_by_hand() -> None:
    """Bin 0.9-1.0: 4 of confidence 0.95, 3 right: |3.8 - 3| ; bin 0.6-0.7: 2 of 0.65, both right: |1.3 - 2|; over 6."""
    calibration = measure([0.95] * 4 + [0.65] * 2, [1, 1, 1, 0, 1, 1])
    assert calibration.error == pytest.approx((0.8 + 0.7) / 6)
    assert (calibration.confidence, calibration.accuracy) == pytest.approx((5.1 / 6, 5 / 6))


def test_a_model_that_is_sure_and_always_wrong_is_off_by_all() -> None:
    calibration = measure([1.0] * 20, [0.0] * 20)
    assert calibration.error == 1.0
    assert calibration.gaps.mean() == 1.0


def test_the_confidence_is_the_largest_softmax_probability() -> None:
    assert confidence_of(np.log([0.2, 0.5, 0.3]) - 700) == pytest.approx(0.5)
    assert confidence_of(np.array([-1000.0, -3000.0])) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=60))
def test_it_is_the_textbook_sum_over_bins(pairs: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([c for c, _ in pairs]), np.array([float(r) for _, r in pairs])
    total = 0.0
    for low in range(10):
        inside = (np.minimum(np.floor(confidence * 10), 9) == low).nonzero()[0]
        if len(inside):
            total += len(inside) / len(pairs) * abs(confidence[inside].mean() - right[inside].mean())
    calibration = measure_calibration(confidence, right, np.arange(len(pairs)))
    assert calibration.error == pytest.approx(total)
    assert np.all(np.abs(calibration.gaps) <= 1)


def test_two_equal_models_differ_by_nothing() -> None:
    one = measure([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 1])
    difference = calibration_difference(one, one, np.arange(4))
    assert difference.value == 0
    assert difference.interval.low < 0 < difference.interval.high


def draw(rng: np.random.Generator, n: int, sharpness: float) -> tuple[Floats, Floats]:
    """Answers that are right with the probability p, and a confidence that is p made sharper."""
    z = rng.normal(0.8, 1.2, n)
    right = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.float64)
    return np.clip(1 / (1 + np.exp(-z * sharpness)), 0.25, 1.0), right


@pytest.mark.parametrize("sharpness", [(1.0, 1.0), (1.0, 2.5), (2.0, 3.0)])
def test_the_interval_of_a_difference_holds_the_truth(sharpness: tuple[float, float]) -> None:
    """Of 100 draws of 500 samples, 86 or more: fewer come with probability 0.0003 where 95 of 100 would."""
    rng = np.random.default_rng(5)
    everyone = np.arange(400_000)
    before, after = (measure_calibration(*draw(rng, len(everyone), s), everyone).error for s in sharpness)
    hits = 0
    for _ in range(100):
        seed = int(rng.integers(1 << 30))
        sides = [draw(np.random.default_rng(seed), 500, s) for s in sharpness]  # the same questions
        one, other = (measure_calibration(c, r, np.arange(500)) for c, r in sides)
        interval = calibration_difference(one, other, np.arange(500)).interval
        hits += interval.low <= after - before <= interval.high
    assert hits >= 86
