"""What a study says of runs that differ by their seed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.comparison.number_format import format_interval
from harness.comparison.recipes import compare_recipes
from harness.comparison.result import ComparisonSettings
from harness.studies.seeds import describe_seeds
from tests.support.results_folder import store_scores

RUNS = {"sft": [1, 0] * 20, "dpo": [1] * 40, "dpo-s1": [1, 0, 0, 0] * 10, "dpo-s2": [1, 0] * 20, "ppo": [0, 1] * 20}


def policy(name: str, method: str, seed: int = 0) -> dict[str, Any]:
    return {"checkpoint": name, "labels": {"method": method, "base": "small"}, "seed": seed}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name, scores in RUNS.items():
        store_scores(tmp_path, name, "sums", [float(score) for score in scores])
    return tmp_path


def test_a_lucky_seed_stands_beside_the_others(results: Path) -> None:
    policies = [
        policy("sft", "sft"),
        policy("dpo", "dpo"),
        policy("ppo", "ppo"),
        policy("dpo-s1", "dpo", 1),
        policy("dpo-s2", "dpo", 2),
    ]
    (line,) = describe_seeds(results, compare(results, "sft", ComparisonSettings()), policies)
    whole = compare_recipes([results], {"a": ["sft"], "b": ["dpo", "dpo-s1", "dpo-s2"]})
    contrast = next(row.contrast for row in whole if row.level == "average")
    interval = format_interval(100 * contrast.interval.low, 100 * contrast.interval.high, signed=True)
    assert line.startswith(
        "dpo, dpo-s1, dpo-s2 differ by their seed alone: +50.0, −25.0, 0.0 on average against sft, and +8.3 "
    )
    assert f"+8.3 {interval} for what they have in common" in line
    assert contrast.interval.low < 0 < contrast.interval.high, "one lucky run of three decides nothing"


def test_single_runs_and_the_baseline_have_no_line(results: Path) -> None:
    comparison = compare(results, "sft", ComparisonSettings())
    assert not list(describe_seeds(results, comparison, [policy("sft", "sft"), policy("dpo", "dpo"), policy("ppo", "ppo")]))
    assert not list(describe_seeds(results, comparison, [policy("sft", "sft"), policy("dpo", "sft", 1)]))


def test_runs_without_a_common_item_are_named(results: Path) -> None:
    store_scores(results, "other", "products", [1.0, 0.0])
    comparison = compare(results, "sft", ComparisonSettings(candidates=("dpo",)))
    (line,) = describe_seeds(results, comparison, [policy("dpo", "dpo"), policy("other", "dpo", 1)])
    assert "dpo, other differ by their seed alone, and cannot be taken together: There is no task" in line
