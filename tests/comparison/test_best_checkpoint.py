"""The best candidate from stored results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import harness
from harness.comparison.result import Best, Comparison
from tests.support.results_folder import about, sample, store

CANDIDATES = ("dpo", "ppo", "grpo")


def store_readings(folder: Path, data: tuple[str, str], asked: int) -> Comparison:
    """Three candidates with the same scores on two tasks of a skill; the baseline was asked the first `asked` of 60 rows."""
    rng = np.random.default_rng(1)
    for name, share in (("sft", 0.5), *zip(CANDIDATES, (0.5, 0.55, 0.6), strict=True)):
        right = (rng.random(asked if name == "sft" else 60) < share).astype(float)
        for task, rows in zip(("mc1", "mc2"), data, strict=True):
            facts = about(task, "truth", inputs={"data": rows})
            store(folder, name, facts, [sample(i, float(s)) for i, s in enumerate(right)])
    return harness.compare(folder, "sft", allow=["inputs.examples"])


def best_on(comparison: Comparison, level: str) -> Best:
    return next(best for best in comparison.best if best.level == level)


@pytest.mark.parametrize("asked", [60, 40])
def test_two_readings_of_the_same_rows_choose_no_surer_than_one(tmp_path: Path, asked: int) -> None:
    """Where the baseline lacks rows, these have no number, and count as rows of their own."""
    same = best_on(store_readings(tmp_path / "same", ("rows", "rows"), asked), "skill")
    apart = best_on(store_readings(tmp_path / "apart", ("rows", "other rows"), asked), "skill")
    assert same.checkpoint == apart.checkpoint
    assert max(same.probability.values()) < max(apart.probability.values())
    assert same.high - same.low > apart.high - apart.low


def test_a_group_of_one_item_leaves_the_choice_open(tmp_path: Path) -> None:
    """It is a third of the score: whoever has it right leads by 33 points, and one item says next to nothing."""
    facts = about("areas", "reasoning", task={"aggregate": "macro"})
    groups = ["a", "b", "b", *("c" * 50)]
    for name, first in (("sft", 0.0), ("dpo", 0.0), ("ppo", 1.0)):
        scores = [first, *(float(i % 2) for i in range(52))]
        store(tmp_path, name, facts, [sample(i, s, group=g) for i, (s, g) in enumerate(zip(scores, groups, strict=True))])
    best = best_on(harness.compare(tmp_path, "sft"), "skill")
    assert best.checkpoint == "ppo"
    assert set(best.equals) == {"dpo", "ppo"}
    assert best.low < 50
