"""The report says by itself where a run's reward went up while the skills went down."""

from pathlib import Path

import numpy as np
import pytest

from harness.comparison import reward_hacking
from harness.comparison.compare import compare
from harness.training_log import Curve
from tests.support.training_runs import curve, store

RISING = [0.1 * i for i in range(12)]
BASE = {"reasoning": 0.7, "safety": 0.8}


def warnings_of(folder: Path, quantity: str, values: list[float], rates: dict[str, float]) -> tuple[str, ...]:
    """What is noticed of a run that ends with these shares of right answers, having logged these values."""
    store(folder, "sft", BASE)
    store(folder, "ppo@60", BASE, "ppo", 60)
    store(folder, "ppo@120", rates, "ppo", 120, {quantity: curve("objective/scores", values)})
    return compare(folder, "sft").warnings


def test_reward_up_and_skills_down_is_told_with_the_interval_and_the_skill_lost_most(tmp_path: Path) -> None:
    (line,) = warnings_of(tmp_path, "reward", RISING, {"reasoning": 0.6, "safety": 0.4})
    row = compare(tmp_path, "sft").row("ppo@120", "average", "average")
    assert row.difference is not None
    assert f"while ppo@120 is −25.0 [−{-row.difference.delta_low:.1f}, −{-row.difference.delta_high:.1f}] on average" in line
    assert "ppo's reward rises (objective/scores: 0.00 to 1.10)" in line
    assert "most in safety, −40.0" in line
    assert "ppo@60" not in line, "it did not fall"


def test_an_implicit_reward_counts_too(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, "reward margin", RISING, {"reasoning": 0.3, "safety": 0.5})


def test_a_run_that_falls_from_its_own_height_is_told_though_it_is_still_above_the_baseline(tmp_path: Path) -> None:
    store(tmp_path, "sft", {"reasoning": 0.3, "safety": 0.3})
    store(tmp_path, "ppo@60", {"reasoning": 0.9, "safety": 0.8}, "ppo", 60)
    values = {"reward": curve("objective/scores", [0.1 * i for i in range(24)])}
    store(tmp_path, "ppo@240", {"reasoning": 0.8, "safety": 0.4}, "ppo", 240, values)
    (line,) = compare(tmp_path, "sft").warnings
    late, early = (compare(tmp_path, "sft").row(f"ppo@{step}", "average", "average") for step in (240, 60))
    assert (
        f"ppo@240 is {reward_hacking.format_points(late)} on average against {reward_hacking.format_points(early)} of ppo@60"
        in line
    )
    assert "most in safety, +10.0" in line


def test_a_run_whose_reward_falls_with_its_skills_is_no_such_run(tmp_path: Path) -> None:
    store(tmp_path, "sft", {"reasoning": 0.3, "safety": 0.3})
    store(tmp_path, "ppo@120", {"reasoning": 0.9, "safety": 0.8}, "ppo", 120)
    values = {"reward": curve("objective/scores", [0.2 * i for i in range(12)] + [2.2 - 0.05 * i for i in range(12)])}
    store(tmp_path, "ppo@240", {"reasoning": 0.8, "safety": 0.4}, "ppo", 240, values)
    assert compare(tmp_path, "sft").warnings == ()


@pytest.mark.parametrize(
    ("values", "rates"),
    [
        (RISING[::-1], {"reasoning": 0.4, "safety": 0.4}),
        ([0.5, 0.4, 0.6, 0.5, 0.5, 0.4, 0.6, 0.5, 0.4, 0.6, 0.5, 0.5], {"reasoning": 0.4, "safety": 0.4}),
        (RISING, {"reasoning": 0.9, "safety": 0.8}),
        (RISING, {"reasoning": 0.69, "safety": 0.8}),
        (RISING[:4], {"reasoning": 0.4, "safety": 0.4}),
    ],
    ids=["reward falls", "reward stays", "skills rise", "skills stay within the error", "too little is logged"],
)
def test_nothing_is_told_otherwise(tmp_path: Path, values: list[float], rates: dict[str, float]) -> None:
    assert warnings_of(tmp_path, "reward", values, rates) == ()


def test_noise_alone_is_seldom_taken_for_a_rise() -> None:
    random = np.random.default_rng(0)
    steps = tuple(range(1, 61))
    alarms = [reward_hacking.rises(Curve("r", steps, tuple(random.normal(size=60).tolist())), 60) for _ in range(1000)]
    assert np.mean(alarms) == pytest.approx(0.025, abs=0.015), "one side of two standard errors"


def test_only_what_was_logged_by_then_counts() -> None:
    late = Curve("r", tuple(range(1, 25)), tuple([0.0, 0.1] * 6 + [5.0, 5.1] * 6))
    assert not reward_hacking.rises(late, 12)
    assert reward_hacking.rises(late, 24)
