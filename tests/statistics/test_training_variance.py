"""Recipes with several seeds, and the noise of a second answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.statistics import noise, paired, training_variance
from harness.statistics.aggregates import Design, Floats, Ints, simple_design
from harness.statistics.estimate import pseudo_values
from tests.support.unequal_designs import UNEQUAL


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


def recipes_of(scores: Floats, design: Design, units: Ints | None = None) -> training_variance.RecipeContrast:
    """Scores [runs of both recipes, samples], the first recipe's in the first half."""
    values, common = pseudo_values(design, scores)
    old, new = (training_variance.RecipeScores(name, (half,)) for name, half in zip("ab", np.split(values, 2), strict=True))
    return training_variance.recipe_difference(old, new, items=[training_variance.TaskItems(common, units)])


@pytest.mark.parametrize("name", UNEQUAL)
def test_one_run_each_on_one_task_is_the_paired_difference(name: str) -> None:
    design = UNEQUAL[name]
    rng = np.random.default_rng(5)
    for share in (1.0, 0.9, 0.5):
        scores = (rng.random((2, len(design.cluster))) < share).astype(float)
        contrast, pair = recipes_of(scores, design), paired.paired_difference(scores[0], scores[1], design)
        assert contrast.delta == pytest.approx(pair.value, abs=1e-12)
        assert (contrast.interval.low, contrast.interval.high) == pytest.approx((pair.interval.low, pair.interval.high))
        assert contrast.freedom == pytest.approx(pair.freedom)
        assert contrast.from_items == pytest.approx(pair.variance)
        assert contrast.p == pytest.approx(pair.quick_p(), abs=1e-9)


@pytest.mark.parametrize("name", UNEQUAL)
def test_recipes_hold_the_truth_where_clusters_weigh_differently(name: str) -> None:
    """With one weight for all clusters it was 40 to 88 % of runs."""
    design = UNEQUAL[name]
    rng, held, count = np.random.default_rng(6), 0, int(design.clusters.max()) + 1
    for _ in range(100):
        right = rng.random((2, count)) < np.array([[0.9], [0.7]])
        interval = recipes_of(right.astype(float)[:, design.clusters], design).interval
        held += interval.low <= -0.2 <= interval.high
    assert held >= 90


@pytest.mark.slow
def test_recipes_on_an_f1_of_few_positives_hold_the_truth() -> None:
    """A recall of 10 and of 30 % of three positive items: with the linearised F1 alone it was 64 % of runs."""
    design = Design(np.arange(20), (np.arange(20) >= 3).astype(np.int64), "f1", 0)
    rates = np.where(design.group == 0, np.array([[0.1], [0.3]]), 1.0)
    truth = 2 * 0.9 / (0.9 + 3) - 2 * 0.3 / (0.3 + 3)  # F1 = 2 TP / (TP + positives), where none of the rest is wrong
    rng, held = np.random.default_rng(8), 0
    for _ in range(100):
        scores = (rng.random((2, 20)) < rates).astype(float)
        before, after = scores[:1], scores[1:]
        least = paired.count_variance(before, after, design)
        values, common = pseudo_values(design, scores)
        recipes = [training_variance.RecipeScores(name, (values[[i]],)) for i, name in enumerate("ab")]
        items = [training_variance.TaskItems(common, least_variance=least)]
        interval = training_variance.recipe_difference(*recipes, items=items).interval
        held += interval.low <= truth <= interval.high
    assert held >= 93


def test_draws_of_an_f1_tell_more_than_one_and_runs_taken_twice_tell_nothing() -> None:
    design = Design(np.arange(60), (np.arange(60) >= 20).astype(np.int64), "f1", 0)
    scores = (np.random.default_rng(9).random((6, 60)) < 0.7).astype(float)
    before, after = scores[:3], scores[3:]
    three = paired.count_variance(before, after, design)
    assert three < paired.count_variance(before[:1], after[:1], design)
    assert paired.count_variance(np.tile(before, (2, 1)), np.tile(after, (2, 1)), design) == pytest.approx(three, rel=0.1)
    assert paired.count_variance(before, after, simple_design(60)) == 0


def test_recipes_on_two_readings_of_the_same_rows_are_no_surer_than_on_one() -> None:
    rng = np.random.default_rng(7)
    scores = (rng.random((6, 100)) < 0.6).astype(float)
    items = training_variance.TaskItems(simple_design(100), np.arange(100))
    elsewhere = training_variance.TaskItems(simple_design(100), np.arange(100, 200))

    def contrast(tasks: int, of_tasks: list[training_variance.TaskItems]) -> training_variance.RecipeContrast:
        halves = zip("ab", np.split(scores, 2), strict=True)
        old, new = (training_variance.RecipeScores(name, (half,) * tasks) for name, half in halves)
        return training_variance.recipe_difference(old, new, items=of_tasks)

    one, twice = contrast(1, [items]), contrast(2, [items, items])
    assert twice.from_items == pytest.approx(one.from_items)
    assert twice.freedom == pytest.approx(one.freedom)
    assert twice.least_p == one.least_p
    assert contrast(2, [items, elsewhere]).from_items < 0.6 * one.from_items


def test_runs_that_agree_by_chance_take_nothing_from_what_varies_by_items() -> None:
    """Two runs of equal scores on other items: their variance is 0, though each answer is a throw of a coin."""
    first = (np.random.default_rng(8).random(100) < 0.5).astype(float)
    scores = np.stack([first, np.roll(first, 7), first, np.roll(first, 31)])
    contrast = recipes_of(scores, simple_design(100))
    change = scores[2:].mean(axis=0) - scores[:2].mean(axis=0)
    assert contrast.from_runs == pytest.approx(0, abs=1e-12)
    assert contrast.from_items >= np.var(change, ddof=1) / 100
