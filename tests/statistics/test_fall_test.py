"""Whether a skill has fallen, looked at after every item."""

from __future__ import annotations

import numpy as np
import pytest

from harness.statistics.fall_test import Bettor, FallTest


def test_the_bettor_is_the_product_of_its_bets_and_looks_at_the_past_alone() -> None:
    rng = np.random.default_rng(3)
    differences = rng.choice([-1.0, 0.0, 1.0], 40)
    bettor, gain, square, expected = Bettor(-0.05), 0.0, 0.0, 0.0
    for d in differences:
        bettor.advance(np.array([d]), np.ones(1))
        bet = min(max((gain + 4) / (square + 16), 0), 0.9)
        expected += float(np.log1p(bet * (d + 0.05)))
        gain, square = gain + d + 0.05, square + (d + 0.05) ** 2
    assert bettor.log_capital == pytest.approx(expected)


@pytest.mark.parametrize(("fall", "verdict"), [(0.3, "fallen"), (0.0, "whole")])
def test_a_fall_is_shown_and_no_fall_rules_one_out(fall: float, verdict: str) -> None:
    test = FallTest(0.1, 0.01)
    for change in np.random.default_rng(5).choice([-1.0, 1.0, 0.0], 600, p=[0.1 + fall, 0.1, 0.8 - fall]):
        test.advance(np.array([change]), np.ones(1))
    assert test.verdict == verdict


def test_a_verdict_is_never_taken_back() -> None:
    test = FallTest(0.1, 0.05)
    for change in [-1.0] * 30 + [1.0] * 300:
        test.advance(np.array([change]), np.ones(1))
    assert test.verdict == "fallen"
