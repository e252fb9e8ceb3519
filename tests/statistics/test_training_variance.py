"""Recipes with several seeds, and the noise of a second answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.statistics import noise, training_variance


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


def test_one_seed_each_is_about_the_paired_t_test_and_says_that_it_is_about_these_runs() -> None:
    rng = np.random.default_rng(2)
    old, new = rng.random((1, 80)), rng.random((1, 80))
    contrast = training_variance.recipe_difference(
        training_variance.RecipeScores("sft", (old,)), training_variance.RecipeScores("dpo", (new,))
    )
    theirs = stats.ttest_rel(new[0], old[0])
    assert contrast.p == pytest.approx(theirs.pvalue, abs=0.02)  # two pseudo-observations make it a little larger
    assert contrast.p >= theirs.pvalue
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
