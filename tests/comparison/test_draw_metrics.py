"""avg@n and pass@k of tasks with several draws, beside a score that is the mean over draws."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.comparison.draw_metrics import attempts
from harness.comparison.result import MetricValue
from tests.support.results_folder import about, sample, store

DRAWS = 4
RIGHT = {"sft": [0, 1, 2, 4, 1, 0] * 5, "dpo": [1, 1, 4, 4, 0, 2] * 5}  # of the draws of each problem


def store_runs(folder: Path, partial: float = 1.0, **task: object) -> Path:
    for name, counts in RIGHT.items():
        samples = [sample(i, partial * (d < right), draw=d) for i, right in enumerate(counts) for d in range(DRAWS)]
        store(folder, name, about("gsm8k", "reasoning", task=task, inputs={"draws": DRAWS}), samples)
    return folder


def metrics(folder: Path, name: str = "dpo") -> dict[str, MetricValue]:
    return {m.name: m for m in harness.compare(folder, "sft").row(name, "task", "gsm8k").metrics}


def mean_pass(name: str, k: int) -> float:
    """The share of all choices of k draws with a right one, over problems, in points."""
    shares = [np.mean([any(i < right for i in choice) for choice in combinations(range(DRAWS), k)]) for right in RIGHT[name]]
    return float(100 * np.mean(shares))


def test_every_number_of_attempts_is_shown_with_its_difference(tmp_path: Path) -> None:
    values = metrics(store_runs(tmp_path))
    assert list(values) == ["avg@4", "pass@2", "pass@4"]
    for name, k in (("avg@4", 1), ("pass@2", 2), ("pass@4", 4)):
        value = values[name]
        assert value.value == pytest.approx(mean_pass("dpo", k))
        assert value.delta == pytest.approx(mean_pass("dpo", k) - mean_pass("sft", k))
        assert value.delta_low is not None
        assert value.delta_high is not None
        assert value.delta_low < value.delta < value.delta_high
        assert (value.pairs, value.missing) == (30, 0)


def test_the_score_is_avg_with_problems_as_clusters(tmp_path: Path) -> None:
    row = harness.compare(store_runs(tmp_path), "sft").row("dpo", "task", "gsm8k")
    value = metrics(tmp_path)["avg@4"]
    assert row.difference
    assert (row.score, row.difference.delta) == (pytest.approx(value.value), pytest.approx(value.delta))
    assert value.delta_low is not None
    assert value.delta_high is not None
    assert row.difference.delta_high - row.difference.delta_low == pytest.approx(value.delta_high - value.delta_low, rel=0.05)


def test_a_draw_without_a_score_takes_only_what_needs_it(tmp_path: Path) -> None:
    folder = store_runs(tmp_path)
    samples = [sample(i, None if (i, d) == (0, 3) else 1.0, draw=d) for i in range(30) for d in range(DRAWS)]
    store(folder, "ppo", about("gsm8k", "reasoning", inputs={"draws": DRAWS}), samples)
    values = metrics(folder, "ppo")
    assert [values[name].missing for name in ("avg@4", "pass@2", "pass@4")] == [0, 0, 1]


def test_scores_between_right_and_wrong_have_a_mean_alone(tmp_path: Path) -> None:
    assert list(metrics(store_runs(tmp_path, partial=0.5))) == ["avg@4"]


def test_a_task_of_pass_at_k_keeps_its_own_metrics(tmp_path: Path) -> None:
    assert metrics(store_runs(tmp_path, pass_at=2)) == {}


@pytest.mark.parametrize(("temperature", "count"), [(0.0, 1), (0.7, 0)])
def test_draws_without_chance_are_said_to_repeat_one_answer(tmp_path: Path, temperature: float, count: int) -> None:
    inputs = {"draws": 2, "settings": {"temperature": temperature}}
    for name in ("sft", "dpo"):
        samples = [sample(i, float(i % 2), draw=d) for i in range(30) for d in range(2)]
        store(tmp_path, name, about("gsm8k", "reasoning", inputs=inputs), samples)
    caveats = harness.compare(tmp_path, "sft").caveats
    assert sum("2 draws at temperature 0 repeat one answer" in caveat for caveat in caveats) == count


@given(st.integers(2, 300))
def test_attempts_are_powers_of_two_up_to_the_count_and_the_count(count: int) -> None:
    numbers = attempts(count)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == count
    assert all(k == count or k & (k - 1) == 0 for k in numbers)
    assert len(numbers) >= count.bit_length() - 1
