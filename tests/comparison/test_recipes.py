"""Recipes compared from stored results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.comparison import recipes
from harness.types import SkilldeltaError
from tests.support.results_folder import store_scores


def test_recipes_are_compared_from_stored_results(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for name, merit in (("a1", 0.5), ("a2", 0.52), ("b1", 0.7), ("b2", 0.73), ("b3", 0.7)):
        store_scores(tmp_path, name, "gsm8k", list((rng.random(300) < merit).astype(float)), "reasoning")
        store_scores(tmp_path, name, "mmlu", list((rng.random(200) < 0.4).astype(float)), "facts")
    lines = recipes.compare_recipes([tmp_path], {"dpo": ["a1", "a2"], "ppo": ["b1", "b2", "b3"]})
    contrasts = {(line.level, line.name): line.contrast for line in lines}
    assert set(contrasts) == {
        ("task", "gsm8k"),
        ("task", "mmlu"),
        ("skill", "reasoning"),
        ("skill", "facts"),
        ("average", "average"),
    }
    assert contrasts["task", "gsm8k"].delta == pytest.approx(0.2, abs=0.08)
    assert contrasts["average", "average"].delta == pytest.approx(
        (contrasts["task", "gsm8k"].delta + contrasts["task", "mmlu"].delta) / 2
    )
    assert contrasts["skill", "reasoning"] == contrasts["task", "gsm8k"]


def test_a_recipe_with_a_single_run_says_so(tmp_path: Path) -> None:
    for name in ("a", "b"):
        store_scores(tmp_path, name, "gsm8k", [0.0, 1.0] * 20)
    (line, *_) = recipes.compare_recipes([tmp_path], {"dpo": ["a"], "ppo": ["b"]})
    assert line.contrast.caveat.startswith("There is one run of dpo and of ppo")
    with pytest.raises(SkilldeltaError, match="Two recipes"):
        recipes.compare_recipes([tmp_path], {"dpo": ["a"]})
