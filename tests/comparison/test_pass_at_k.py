"""pass@k: the unbiased estimate, and what a comparison makes of it."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.statistics.pass_at_k import pass_at
from harness.types import SkilldeltaError
from tests.support.results_folder import about, sample, store


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(1, 8))
def test_pass_at_k_is_the_share_of_all_choices_of_k_draws_with_a_right_one(draws: list[bool], k: int) -> None:
    estimate = pass_at(k, np.array([float(sum(draws))]), np.array([float(len(draws))]))[0]
    any_right = [any(c) for c in combinations(draws, k)]
    assert estimate == pytest.approx(np.mean(any_right)) if any_right else np.isnan(estimate)


def test_a_pass_at_k_task_is_compared_by_problems(tmp_path: Path) -> None:
    metrics = [{"name": "pass@1", "part": "pass@1", "over": "", "group": "", "lower_is_better": False}]
    facts = about("humaneval", "coding", task={"pass_at": 2, "metrics": metrics})
    for name, right in (("sft", 1), ("dpo", 2)):  # of 4 draws, on 10 of 20 problems; all of them on the others
        draws = [sample(i, float(d < (right if i < 10 else 4)), draw=d) for i in range(20) for d in range(4)]
        store(tmp_path, name, facts, draws)
    row = harness.compare(tmp_path, "sft").row("dpo", "task", "humaneval")
    one_of_four, two_of_four = 1 - 3 / 6, 1 - 1 / 6
    assert row.n == 20
    assert row.score == pytest.approx(100 * (two_of_four + 1) / 2)
    assert row.difference is not None
    assert row.difference.delta == pytest.approx(100 * (two_of_four - one_of_four) / 2)
    assert row.metrics[0].value == pytest.approx(75)
    assert row.metrics[0].delta == pytest.approx(12.5)


def test_too_few_draws_are_refused_with_the_way_out(tmp_path: Path) -> None:
    store(tmp_path, "sft", about("humaneval", "coding", task={"pass_at": 10}), [sample(0, 1.0, draw=d) for d in range(4)])
    with pytest.raises(SkilldeltaError, match=r"pass@10 needs 10 draws of each problem; there are 4\. .*--draws 10"):
        harness.compare(tmp_path, "sft")


def test_a_problem_that_lost_too_many_draws_has_no_score(tmp_path: Path) -> None:
    samples = [sample(i, None if i == 0 and d else 1.0, draw=d) for i in range(3) for d in range(4)]
    store(tmp_path, "sft", about("humaneval", "coding", task={"pass_at": 2}), samples)
    row = harness.compare(tmp_path, "sft").rows[0]
    assert (row.n, row.score, row.unscored) == (2, 100, 3)


def test_problems_with_unequal_numbers_of_draws_count_alike(tmp_path: Path) -> None:
    """The unbiased estimator for each problem, by its own draws, then the mean over problems: not over draws."""
    right_and_draws = [(1, 2), (1, 5), (0, 3), (4, 4), (2, 8)]
    samples = [sample(i, float(d < right), draw=d) for i, (right, draws) in enumerate(right_and_draws) for d in range(draws)]
    store(tmp_path, "sft", about("humaneval", "coding", task={"pass_at": 2}), samples)
    row = harness.compare(tmp_path, "sft").rows[0]
    each = [1 - math.comb(draws - right, 2) / math.comb(draws, 2) for right, draws in right_and_draws]
    assert row.n == 5
    assert row.score == pytest.approx(100 * sum(each) / 5)
