"""The best of many, recipes with several seeds, and the noise of asking twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from harness.comparison import recipes
from harness.statistics import best_of_many, noise, training_variance
from harness.statistics.aggregates import Floats, influences, simple_design
from harness.types import SkilldeltaError
from tests.support.results_folder import store_scores


def pool(scores: Floats) -> best_of_many.CandidatePool:
    """A pool from [k, items] scores of one task."""
    found = [influences(row, simple_design(len(row))) for row in scores]
    names = [f"c{i}" for i in range(len(scores))]
    return best_of_many.CandidatePool(names, np.array([v for v, _ in found]), [np.stack([i for _, i in found], axis=1)])


def equals(k: int, n: int, seed: int) -> Floats:
    """k checkpoints that are right half of the time, and nothing else."""
    return np.random.default_rng(seed).integers(0, 2, (k, n)).astype(float)


def test_the_highest_of_equals_is_flattered_and_the_correction_takes_it_back() -> None:
    selections = [best_of_many.select_best(pool(equals(12, 200, seed)), seed=seed) for seed in range(40)]
    assert np.mean([f.score for f in selections]) > 0.54
    assert np.mean([f.corrected_score for f in selections]) == pytest.approx(0.5, abs=0.012)


def test_the_interval_of_the_chosen_one_holds_its_true_score() -> None:
    intervals = [best_of_many.select_best(pool(equals(12, 200, seed))).interval for seed in range(60)]
    assert sum(i.low <= 0.5 <= i.high for i in intervals) >= 54


def test_equals_are_all_kept_and_the_clearly_worse_are_not() -> None:
    scores = np.vstack([equals(3, 400, 1), np.zeros((1, 400)), np.ones((0, 400))])
    selection = best_of_many.select_best(pool(scores))
    assert set(selection.equals) == {"c0", "c1", "c2"}
    assert selection.probability.sum() == pytest.approx(1)
    assert selection.probability[3] == 0


def test_a_clear_winner_stands_alone() -> None:
    selection = best_of_many.select_best(pool(np.vstack([equals(4, 300, 2), np.ones((1, 300))])))
    assert (selection.best, selection.equals) == ("c4", ("c4",))
    assert selection.probability[4] == 1
    assert selection.corrected_score == pytest.approx(selection.score)


def test_the_true_best_is_among_those_that_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    merit = np.array([0.5, 0.52, 0.55, 0.56])
    hits = 0
    for _ in range(60):
        scores = (rng.random((4, 300)) < merit[:, None]).astype(float)
        hits += "c3" in best_of_many.select_best(pool(scores)).equals
    assert hits >= 54


def test_twins_are_never_told_apart() -> None:
    scores = np.repeat(equals(1, 100, 3), 2, axis=0)
    assert best_of_many.select_best(pool(scores)).equals == ("c0", "c1")


def test_the_corrected_score_lies_within_its_interval_even_next_to_the_end_of_the_scale() -> None:
    """Next to 100 % one's own interval is short, while a half of the items without the other's two faults chooses the other."""
    scores = np.ones((49, 2))
    scores[0, 0], scores[1:3, 1] = 6 / 7, 0
    means = scores.mean(axis=0)
    choice = best_of_many.select_best(best_of_many.CandidatePool(["a", "b"], means, [(scores - means) / len(scores)]))
    assert choice.best == "a"
    assert choice.corrected_score < 0.99
    assert choice.interval.low <= choice.corrected_score <= choice.interval.high


def test_recipes_vary_by_items_and_by_runs() -> None:
    rng = np.random.default_rng(1)
    ability = rng.normal(0, 0.03, 4)[:, None]
    runs = (rng.random((4, 500)) < 0.6 + ability).astype(float)
    old = (rng.random((3, 500)) < 0.5).astype(float)
    contrast = training_variance.recipe_difference(
        training_variance.RecipeScores("sft", (old,)), training_variance.RecipeScores("dpo", (runs,))
    )
    assert contrast.delta == pytest.approx(runs.mean() - old.mean())
    assert contrast.from_runs == pytest.approx(np.var(runs.mean(1), ddof=1) / 4 + np.var(old.mean(1), ddof=1) / 3, rel=1e-9)
    assert contrast.interval.low < contrast.delta < contrast.interval.high
    assert contrast.caveat == ""


def test_one_seed_each_is_the_paired_t_test_and_says_that_it_is_about_these_runs() -> None:
    rng = np.random.default_rng(2)
    old, new = rng.random((1, 80)), rng.random((1, 80))
    contrast = training_variance.recipe_difference(
        training_variance.RecipeScores("sft", (old,)), training_variance.RecipeScores("dpo", (new,))
    )
    assert contrast.p == pytest.approx(stats.ttest_rel(new[0], old[0]).pvalue, abs=1e-9)
    assert "one run of sft and of dpo" in contrast.caveat


def test_runs_that_differ_by_nothing_but_their_seed_are_rarely_called_different() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(300):
        merit = 0.5 + rng.normal(0, 0.03, (6, 1))
        easy = rng.normal(0, 0.2, (1, 200))
        scores = (rng.random((6, 200)) < merit + easy).astype(float)
        wrong += (
            training_variance.recipe_difference(
                training_variance.RecipeScores("a", (scores[:3],)), training_variance.RecipeScores("b", (scores[3:],))
            ).p
            < 0.05
        )
    assert wrong <= 24  # 5 % of 300, and two and a half standard errors


def test_noise_is_counted_and_added_only_where_it_makes_much_of_the_difference() -> None:
    first, second = np.array([1.0, 0, 1, 0, np.nan]), np.array([1.0, 1, 1, 0, 1])
    repeats = noise.measure_noise(first, second)
    assert (repeats.n, repeats.flips, repeats.rate, repeats.shift) == (4, 1, 0.25, 0.25)
    assert noise.noise_variance(repeats.rate, discordance=0.3, n=100) == pytest.approx(0.0025)
    assert noise.noise_variance(0.01, discordance=0.3, n=100) == 0


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
