"""Coverage where samples say little: next to 0 and 100 %, where few items change one way, and with 1 to 20 items.

Near the ends an honest interval holds the truth more often than it says: no number of few items can do otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.statistics import best_of_many, ratio, sequential_test, training_variance, weighted_means
from harness.statistics.aggregates import Design, Floats, Interval, simple_design
from harness.statistics.estimate import estimate_score
from harness.statistics.paired import PairedDifference, paired_difference
from harness.statistics.weighted_means import RowSums
from tests.bench.rates import PromiseLine, alarm_line, coverage_line, run_trials
from tests.bench.simulated import Rng, candidate_pool, pairs

MOST = 1.0
FEW_ITEMS = (1, 2, 3, 5, 10, 20)


def holds(interval: Interval, truth: float) -> bool:
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9


def scores_near_the_ceiling(runs: int) -> Iterator[PromiseLine]:
    """0/1 scores, fractions, and clusters whose items are alike, at 95 to 99.5 %."""
    for n, share in ((100, 0.95), (200, 0.99), (1319, 0.995)):
        yield coverage_line(
            f"score, 0/1, n {n}, {100 * share:g} % right",
            runs // 2,
            lambda rng, n=n, p=share: holds(estimate_score((rng.random(n) < p).astype(float), simple_design(n)).interval, p),  # type: ignore[misc]
            MOST,
        )
    for n, share in ((20, 0.97), (100, 0.97), (400, 0.99)):
        yield coverage_line(
            f"score, fractions, n {n}, {100 * (1 - share):g} % are 0",
            runs // 2,
            lambda rng, n=n, p=share: holds(estimate_score(fractions(rng, n, p), simple_design(n)).interval, 0.99 * p),  # type: ignore[misc]
            MOST,
        )
    for share in (0.97, 0.995):
        yield coverage_line(
            f"score, 40 problems x 5 draws alike, {100 * share:g} % right",
            runs // 2,
            lambda rng, p=share: holds(estimate_score(clustered(rng, p), CLUSTERS).interval, p),  # type: ignore[misc]
            MOST,
        )


CLUSTERS = Design(np.repeat(np.arange(40), 5), np.zeros(200, np.int64))


def fractions(rng: Rng, n: int, share: float) -> Floats:
    """[n]: about 0.99 each, and 0 for the rest."""
    return np.where(rng.random(n) < share, rng.uniform(0.98, 1, n), 0.0)


def clustered(rng: Rng, share: float) -> Floats:
    """[200]: draws of problems whose shares of right draws vary (intraclass correlation 1/2)."""
    return (rng.random(200) < rng.beta(share, 1 - share, 40)[CLUSTERS.cluster]).astype(float)


def few_items(runs: int) -> Iterator[PromiseLine]:
    def score(rng: Rng) -> bool:
        n, share = int(rng.choice(FEW_ITEMS)), float(rng.choice([0.5, 0.9, 0.98]))
        scores = np.where(rng.random(n) < share, 1.0, rng.choice([0.0, 0.5], n))
        return holds(estimate_score(scores, simple_design(n)).interval, share + (1 - share) / 4)

    def difference(rng: Rng) -> bool:
        n, lost = int(rng.choice(FEW_ITEMS)), float(rng.choice([0.02, 0.1, 0.4]))
        change = np.where(rng.random(n) < lost, rng.choice([-1.0, -0.5], n), 0.0)
        return holds(one_way(change).interval, -0.75 * lost)

    yield coverage_line("score, n 1 to 20, with halves", runs, score, MOST)
    yield coverage_line("difference, n 1 to 20, with halves, one way", runs, difference, MOST)


def one_way(change: Floats) -> PairedDifference:
    """The difference from a baseline that was right throughout."""
    return paired_difference(np.ones(len(change)), 1 + change, simple_design(len(change)))


def few_flips_one_way(runs: int) -> Iterator[PromiseLine]:
    for n, lost in ((50, 0.04), (200, 0.015), (450, 0.004)):
        yield coverage_line(
            f"difference, 0/1, n {n}, {100 * lost:g} % lost, none gained: Tango",
            runs // 2,
            lambda rng, n=n, q=lost: holds(one_way(-(rng.random(n) < q).astype(float)).interval, -q),  # type: ignore[misc]
            MOST,
        )
    for n, rate in ((50, 0.3), (200, 0.1)):
        yield coverage_line(
            f"difference, fractions, n {n}, {100 * rate:g} % change, few of them wholly",
            runs // 2,
            lambda rng, n=n, q=rate: holds(one_way(mixed_changes(rng, n, q)).interval, -0.28 * q),  # type: ignore[misc]
            MOST,
        )

    def clusters(rng: Rng) -> bool:
        return holds(paired_difference(np.ones(200), clustered(rng, 0.97), CLUSTERS).interval, -0.03)

    yield coverage_line("difference, 40 problems x 5 draws alike, 3 % lost, none gained", runs // 2, clusters, MOST)


def whole_changes_among_small(runs: int) -> Iterator[PromiseLine]:
    """Nearly every answer loses 5 points, and one in a hundred all of them: most of the variance is in few items."""
    for n in (200, 1000):

        def trial(rng: Rng, n: int = n) -> bool:
            change = -rng.choice([0.0, 0.05, 1.0], n, p=[0.1, 0.89, 0.01])
            return holds(one_way(change).interval, -0.0545)

        yield coverage_line(f"difference, fractions, n {n}, 89 % lose 5 points and 1 % all", runs // 2, trial, MOST)


def mixed_changes(rng: Rng, n: int, rate: float) -> Floats:
    """[n]: mostly none, a tenth of a point lost, or (one in five changes) all of it."""
    return np.where(rng.random(n) < rate, rng.choice([-1.0, -0.1, -0.1, -0.1, -0.1], n), 0.0)


def metric_rules(runs: int) -> Iterator[PromiseLine]:
    """Ratios whose items count 1 to 3 each (instructions of a prompt), and what a gate's metric rule lets pass."""

    def counts(rng: Rng, n: int, lost: float) -> tuple[ratio.Ratio, ratio.Ratio]:
        bottom = 1.0 + np.arange(n) % 3
        return ratio.Ratio(bottom, bottom), ratio.Ratio(bottom - rng.binomial(bottom.astype(int), lost), bottom)

    for n, lost in ((50, 0.02), (150, 0.01), (450, 0.03)):

        def interval(rng: Rng, n: int = n, lost: float = lost) -> bool:
            return holds(ratio.ratio_difference(*counts(rng, n, lost), np.arange(n), 0.95).interval, -lost)

        def passes(rng: Rng, n: int = n, lost: float = lost) -> bool:
            difference = ratio.ratio_difference(*counts(rng, n, lost), np.arange(n), 0.95)
            return difference.interval.low >= -lost / 2 and difference.value >= -lost / 2

        yield coverage_line(f"metric, difference of ratios, n {n}, {100 * lost:g} % lost", runs // 2, interval, MOST)
        yield alarm_line(f"metric rule, n {n}: passes at half of the true drop of {100 * lost:g} points", runs // 2, passes)


def tasks_over_equal_rows(runs: int) -> Iterator[PromiseLine]:
    """The mean of two readings of the same 164 rows, whose changes are the same four times in five."""

    def trial(rng: Rng) -> bool:
        n = 164
        first = rng.choice([1.0, -1.0, 0.0], n, p=[0.1, 0.04, 0.86])
        second = np.where(rng.random(n) < 0.8, first, rng.choice([1.0, -1.0, 0.0], n, p=[0.1, 0.04, 0.86]))
        parts = [paired_difference(np.full(n, 0.5), 0.5 + change / 2, simple_design(n)) for change in (first, second)]
        rows = [RowSums(np.arange(n), d.contributions) for d in parts]
        interval = weighted_means.weighted_mean(
            [d.value for d in parts], [d.interval for d in parts], [0.5, 0.5], weighted_means.correlation_matrix(rows)
        )[1]
        return holds(interval, 0.03)

    yield coverage_line("difference, a skill of two tasks over the same rows", runs, trial)


def best_near_the_ceiling(runs: int) -> Iterator[PromiseLine]:
    for n, k, share in ((50, 2, 0.98), (200, 4, 0.99), (541, 4, 0.98)):

        def trial(rng: Rng, n: int = n, k: int = k, share: float = share) -> bool:
            choice = best_of_many.select_best(candidate_pool((rng.random((k, n)) < share).astype(float)))
            return holds(choice.interval, share)

        yield coverage_line(
            f"score of the best of {k} at {100 * share:g} %, n {n}, after choosing it", max(runs // 8, 20), trial, MOST
        )


def rare_changes_of_recipes(runs: int) -> Iterator[PromiseLine]:
    for n, old, new, count in ((20, 0.98, 0.95, 3), (50, 0.995, 0.98, 2), (50, 1.0, 0.96, 1), (4, 1.0, 0.5, 2)):

        def trial(rng: Rng, n: int = n, old: float = old, new: float = new, count: int = count) -> bool:
            recipes = [
                training_variance.RecipeScores(name, ((rng.random((count, n)) < share).astype(float),))
                for name, share in (("a", old), ("b", new))
            ]
            return holds(training_variance.recipe_difference(*recipes).interval, new - old)

        what = f"difference of two recipes at {100 * old:g} and {100 * new:g} %, {count} runs each, n {n}"
        yield coverage_line(what, runs // 2, trial, MOST)


def races(runs: int) -> Iterator[PromiseLine]:
    """Three candidates no better than their baseline, looked at after 16, 24, 36 ... items, each with a third of the error."""

    def trial(rng: Rng) -> bool:
        plan = sequential_test.SequentialPlan(541, alpha=sequential_test.ALPHA / 3)
        decisions = [sequential_test.decide(pairs(541, 0.15, 0.0, rng), plan) for _ in range(3)]
        return any(d.verdict in ("better", "worse") for d in decisions)

    yield alarm_line("any of 3 candidates that race, n 541, 15 % discordant: e-process", max(runs // 20, 20), trial)
    what = "40 points, n 400, 40 % discordant: items asked until decided"
    shares = [
        asked_share(rng_changes, 400)
        for rng_changes in run_trials(max(runs // 20, 20), lambda rng: pairs(400, 0.4, 0.4, rng), what)
    ]
    error = 1.25 * float(np.std(shares)) / len(shares) ** 0.5
    yield PromiseLine("items needed", what, float(np.median(shares)), error, 0.0, 0.1)


def asked_share(changes: Floats, items: int) -> float:
    """The share of the items that is asked up to the first look after the decision."""
    used, looks = sequential_test.decide(changes, sequential_test.SequentialPlan(items)).items_used, 16
    while looks < used:
        looks += looks // 2
    return min(looks, items) / items


PARTS = (
    scores_near_the_ceiling,
    few_items,
    few_flips_one_way,
    whole_changes_among_small,
    metric_rules,
    tasks_over_equal_rows,
    best_near_the_ceiling,
    rare_changes_of_recipes,
    races,
)
