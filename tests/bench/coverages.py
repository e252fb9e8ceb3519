"""Coverage: how often an interval holds the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.statistics import best_of_many, mcnemar, paired, training_variance, variance_shrinkage, weighted_means
from harness.statistics.aggregates import critical_value
from harness.statistics.estimate import Variance, estimate_score, wilson_interval
from tests.bench.rates import PromiseLine, coverage_line, rate_line
from tests.bench.simulated import MEAN, SHAPES, Rng, Shape, answers, candidate_pool, flips


def score_coverage(runs: int) -> Iterator[PromiseLine]:
    for n, share in ((50, 0.1), (164, 0.5), (164, 0.95), (1319, 0.3)):

        def trial(rng: Rng, n: int = n, share: float = share) -> bool:
            interval = wilson_interval(rng.binomial(n, share) / n, n, critical_value(0.95))
            return interval.low <= share <= interval.high

        yield coverage_line(f"score, 0/1, n {n}, {100 * share:.0f} % right: Wilson", runs, trial)
    for name, shape in SHAPES.items():

        def clusters(rng: Rng, shape: Shape = shape) -> bool:
            design = shape.design(rng)
            interval = estimate_score(answers(design, 0.0, 1.0, rng)[0], design).interval
            return interval.low <= truth(shape, 0.0) <= interval.high

        yield coverage_line(f"score, {name}", runs // 2, clusters)


def truth(shape: Shape, shift: float) -> float:
    """The score in the population that `answers` draws from."""
    mean = MEAN + shift
    return 2 * mean / (2 * mean + (1 - mean) + (1 - mean)) if shape.aggregate == "f1" else mean


def delta_coverage(runs: int) -> Iterator[PromiseLine]:
    for n, discordance, delta in (
        (50, 0.04, 0.0),
        (50, 0.2, 0.1),
        (164, 0.03, 0.02),
        (541, 0.15, -0.05),
        (1319, 0.01, 0.0),
        (14042, 0.1, 0.01),
    ):

        def trial(rng: Rng, n: int = n, q: float = discordance, delta: float = delta) -> bool:
            interval = mcnemar.tango_interval(*flips(n, q, delta, rng), n, critical_value(0.95))
            return interval.low <= delta <= interval.high

        yield coverage_line(
            f"difference, 0/1, n {n}, {100 * discordance:.0f} % discordant, {100 * delta:+.0f} points: Tango", runs, trial,
            0.97 if n * discordance > 10 else 1.0,
        )  # fmt: skip
    for name, shape in SHAPES.items():
        for shift, alike in ((0.0, 0.97), (0.05, 0.6)):

            def clusters(rng: Rng, shape: Shape = shape, shift: float = shift, alike: float = alike) -> bool:
                design = shape.design(rng)
                interval = paired.paired_difference(*answers(design, shift, alike, rng), design).interval
                return interval.low <= true_difference(shape, shift) <= interval.high

            few = "few flips" if alike > 0.9 else "many flips"
            most = 1.0 if alike > 0.9 else 0.97
            yield coverage_line(f"difference, {name}, {few}, {100 * shift:+.0f} points", runs // 2, clusters, most)


def true_difference(shape: Shape, shift: float) -> float:
    """The true difference between the two checkpoints of `answers`."""
    return truth(shape, shift) - truth(shape, 0.0)


def skill_coverage(runs: int) -> Iterator[PromiseLine]:
    def trial(rng: Rng) -> bool:
        sizes = ((164, 0.04, 0.0), (541, 0.1, 0.03), (250, 0.2, -0.06))
        counts = [flips(n, q, d, rng) for n, q, d in sizes]
        intervals = [mcnemar.tango_interval(*s, n, critical_value(0.95)) for s, (n, _, _) in zip(counts, sizes, strict=True)]
        deltas = [(gains - losses) / n for (losses, gains), (n, _, _) in zip(counts, sizes, strict=True)]
        around = weighted_means.weighted_mean(deltas, intervals, [1 / 3] * 3)[1]
        return around.low <= np.mean([d for _, _, d in sizes]) <= around.high

    yield coverage_line("difference, a skill of three tasks", runs, trial)


def recipe_coverage(runs: int) -> Iterator[PromiseLine]:
    """Recipes of three or five runs on 400 items, whose runs differ by 3 points (standard deviation) or not at all."""
    for count, apart in ((3, 0.03), (5, 0.03), (3, 0.0)):

        def trial(rng: Rng, count: int = count, apart: float = apart) -> bool:
            merit = np.concatenate([np.full(count, 0.5), np.full(count, 0.55)]) + rng.normal(0, apart, 2 * count)
            scores = (rng.random((2 * count, 400)) < merit[:, None] + rng.normal(0, 0.15, 400)).astype(float)
            interval = training_variance.recipe_difference(
                training_variance.RecipeScores("a", (scores[:count],)), training_variance.RecipeScores("b", (scores[count:],))
            ).interval
            return interval.low <= 0.05 <= interval.high

        most = 0.97 if apart else 1.0  # a variance of runs that is none cannot be seen below 0
        what = f"difference of two recipes, {count} seeds each, {100 * apart:.0f} points apart"
        yield coverage_line(what, runs // 2, trial, most)


def shrunken_variances(runs: int) -> Iterator[PromiseLine]:
    """Two of eight recipes of three runs each, with the variance of runs shrunk towards that of all eight."""
    for name, apart in (("alike", (0.03, 0.03)), ("unlike", (0.01, 0.06))):

        def trial(rng: Rng, apart: tuple[float, float] = apart) -> bool:
            merit = 0.5 + rng.normal(0, 1, (8, 3)) * rng.permutation(np.repeat(apart, 4))[:, None]
            easy = rng.normal(0, 0.15, 400)
            scores = (rng.random((8, 3, 400)) < merit[..., None] + easy).astype(float)
            common = variance_shrinkage.fit_prior([Variance(float(np.var(s.mean(axis=1), ddof=1)), 2.0) for s in scores])
            parts = [
                training_variance.RecipeScores("a", (-scores[0],), prior=common),
                training_variance.RecipeScores("b", (scores[1],), prior=common),
            ]
            interval = training_variance.recipe_sum(parts).interval
            return interval.low <= 0 <= interval.high

        yield coverage_line(f"difference of two of eight recipes, 3 seeds each, whose runs vary {name}", runs // 2, trial)


def winner_coverage(runs: int) -> Iterator[PromiseLine]:
    for k in (2, 10, 50):
        rng = np.random.default_rng(k)
        score_hits, best_hits = [], []
        for run in range(max(runs // 10, 20)):
            merit = 0.5 + rng.normal(0, 0.01, k)
            choice = best_of_many.select_best(candidate_pool((rng.random((k, 300)) < merit[:, None]).astype(float)), seed=run)
            score_hits.append(bool(choice.interval.low <= merit[int(choice.best)] <= choice.interval.high))
            best_hits.append(str(int(np.argmax(merit))) in choice.equals)
        yield rate_line("coverage", f"score of the best of {k}, after choosing it", score_hits, 0.93, 1.0)
        yield rate_line("coverage", f"the true best of {k} is among those that could be", best_hits, 0.93, 1.0)


PARTS = (score_coverage, delta_coverage, skill_coverage, recipe_coverage, shrunken_variances, winner_coverage)
