"""Coverage where clusters weigh differently: small groups of macro means, passages of unlike length, tasks of equal rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from harness.statistics import best_of_many, training_variance
from harness.statistics.aggregates import Design, Floats, simple_design
from harness.statistics.best_of_many import CandidatePool, PoolTask
from harness.statistics.estimate import estimate_score, pseudo_values
from harness.statistics.paired import count_variance, paired_difference
from harness.statistics.training_variance import RecipeContrast, RecipeScores, TaskItems
from tests.bench.edges import MOST, holds
from tests.bench.rates import PromiseLine, coverage_line, rate_line, run_trials
from tests.bench.simulated import Rng, candidate_pool
from tests.support.unequal_designs import cluster_design, macro_design

DESIGNS = {
    "macro of groups of 1, 2 and 50": macro_design(1, 2, 50),
    "macro of groups of 3 and 100": macro_design(3, 100),
    "macro of 20 groups of 2": macro_design(*[2] * 20),
    "40 problems x 4 draws alike": cluster_design(*[4] * 40),
    "25 items and 5 passages of 40 alike": cluster_design(*[1] * 25, *[40] * 5),
}


def right_answers(rng: Rng, design: Design, shares: Floats, alike: float = 0.5) -> Floats:
    """[checkpoints, samples] of 0/1: clusters are right or wrong as a whole, with chance `alike` by one draw for all."""
    count = int(design.clusters.max()) + 1
    common, own = rng.random(count), rng.random((len(shares), count))
    draws = np.where(rng.random((len(shares), count)) < alike, common, own)
    return (draws < np.array(shares)[:, None]).astype(float)[:, design.clusters]


def small_groups(runs: int) -> Iterator[PromiseLine]:
    """Scores and differences of macro means, whose small groups weigh as much as large ones."""
    for name, design in list(DESIGNS.items())[:3]:
        for before, after in ((0.5, 0.5), (1.0, 0.96)):

            def score(rng: Rng, design: Design = design, share: float = after) -> bool:
                return holds(estimate_score(right_answers(rng, design, np.array([share]))[0], design).interval, share)

            def difference(rng: Rng, design: Design = design, shares: tuple[float, float] = (before, after)) -> bool:
                old, new = right_answers(rng, design, np.array(shares))
                return holds(paired_difference(old, new, design).interval, shares[1] - shares[0])

            yield coverage_line(f"score, {name}, {100 * after:g} % right", runs // 2, score, MOST)
            what = f"difference, {name}, {100 * before:g} and {100 * after:g} % right"
            yield coverage_line(what, runs // 2, difference, MOST)


def recipes_of_unequal_clusters(runs: int) -> Iterator[PromiseLine]:
    for name, design in DESIGNS.items():
        for before, after, seeds in ((0.9, 0.7, 1), (1.0, 0.96, 2), (0.98, 0.95, 3)):

            def trial(
                rng: Rng, design: Design = design, shares: tuple[float, float] = (before, after), seeds: int = seeds
            ) -> bool:
                contrast = recipe_contrast(right_answers(rng, design, np.repeat(shares, seeds)), design)
                return holds(contrast.interval, shares[1] - shares[0])

            what = f"difference of two recipes at {100 * before:g} and {100 * after:g} %, {seeds} runs each, {name}"
            yield coverage_line(what, runs // 2, trial, MOST)


def recipe_contrast(scores: Floats, design: Design) -> RecipeContrast:
    """Scores [runs of both recipes, samples], the first recipe's in the first half."""
    values, common = pseudo_values(design, scores)
    old, new = np.split(values, 2)
    items = TaskItems(common, least_variance=count_variance(*np.split(scores, 2), common))
    return training_variance.recipe_difference(RecipeScores("a", (old,)), RecipeScores("b", (new,)), items=[items])


def recipes_over_equal_rows(runs: int) -> Iterator[PromiseLine]:
    """The mean of two readings of the same 164 rows, which agree nine times in ten."""
    items = [TaskItems(simple_design(164), np.arange(164))] * 2

    def trial(rng: Rng) -> bool:
        shares = np.array([0.5, 0.5, 0.5, 0.6, 0.6, 0.6])
        first = right_answers(rng, simple_design(164), shares)
        second = np.where(rng.random(first.shape) < 0.9, first, right_answers(rng, simple_design(164), shares))
        recipes = [RecipeScores(name, (first[part], second[part])) for name, part in (("a", np.s_[:3]), ("b", np.s_[3:]))]
        return holds(training_variance.recipe_difference(*recipes, items=items).interval, 0.1)

    yield coverage_line("difference of two recipes, 3 runs each, two tasks over the same rows", runs // 2, trial, MOST)


def best_of_unequal_clusters(runs: int) -> Iterator[PromiseLine]:
    for name, design in DESIGNS.items():
        for shares in ((0.6, 0.5, 0.5), (0.98, 0.97, 0.97, 0.97)):
            what = f"best of {len(shares)} at {100 * shares[0]:g} %, {name}"
            yield from best_lines(
                what, runs, np.array(shares), lambda rng, s, d=design: candidate_pool(right_answers(rng, d, s), d)
            )


def best_lines(what: str, runs: int, shares: Floats, draw: Callable[[Rng, Floats], CandidatePool]) -> Iterator[PromiseLine]:
    """How often the interval holds the true score of the one chosen, and how often the true best, the first, is left."""

    def trial(rng: Rng) -> tuple[bool, bool]:
        choice = best_of_many.select_best(draw(rng, shares))
        return holds(choice.interval, float(shares[int(choice.best)])), "0" in choice.equals

    hits = run_trials(max(runs // 8, 20), trial, what)
    yield rate_line("coverage", f"score of the {what}, after choosing it", [hit for hit, _ in hits], 0.93, MOST)
    yield rate_line("coverage", f"the true {what}, is among those that could be", [left for _, left in hits], 0.93, MOST)


def best_over_equal_rows(runs: int) -> Iterator[PromiseLine]:
    """The mean of two readings of the same 100 rows, which agree nine times in ten."""

    def draw(rng: Rng, shares: Floats) -> CandidatePool:
        first = right_answers(rng, simple_design(100), shares)
        second = np.where(rng.random(first.shape) < 0.9, first, right_answers(rng, simple_design(100), shares))
        tasks = [
            PoolTask.of_items(scores.T / 200 - scores.mean(axis=1) / 200, 0.5, np.arange(100)) for scores in (first, second)
        ]
        return CandidatePool([str(i) for i in range(len(shares))], (first + second).mean(axis=1) / 2, tasks)

    yield from best_lines("best of 3 at 60 %, two tasks over the same rows", runs, np.array([0.6, 0.58, 0.58]), draw)


PARTS = (
    small_groups,
    recipes_of_unequal_clusters,
    recipes_over_equal_rows,
    best_of_unequal_clusters,
    best_over_equal_rows,
)
