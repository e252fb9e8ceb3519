"""Coverage of F1 where few items are positive: its score, its paired difference, of draws and of recipes too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.statistics.aggregates import Design, Floats
from harness.statistics.estimate import estimate_score
from harness.statistics.paired import paired_difference
from tests.bench.edges import MOST, holds
from tests.bench.rates import PromiseLine, coverage_line
from tests.bench.simulated import Rng
from tests.bench.unequal_weights import recipe_contrast

RECALLS, SPECIFICITIES = (0.1, 0.5, 0.9, 0.97), (0.5, 0.85, 0.97)
CHANGES = ((0.0, 0.0), (0.05, 0.05), (0.3, 0.3), (0.2, 0.0), (0.6, 0.0), (0.0, 0.2), (0.0, 0.6))  # lost, and gained
SIZES = {"1 to 3 positives of 20": ((1, 2, 3), 20), "10 positives of 200": ((10,), 200)}


def f1_score(rng: Rng, positives: tuple[int, ...], n: int) -> bool:
    design = make_design(int(rng.choice(positives)), n)
    rates = draw_rates(rng, design)
    scores = (rng.random(n) < rates).astype(float)
    return holds(estimate_score(scores, design).interval, true_f1(rates, design))


def f1_difference(rng: Rng, positives: tuple[int, ...], n: int) -> bool:
    design = make_design(int(rng.choice(positives)), n)
    rates = draw_rates(rng, design)
    lost, gained = rng.choice(CHANGES)
    before = (rng.random(n) < rates).astype(float)
    changed = rng.random(n) < np.where(before == 1, lost, gained)
    after = np.where(changed, 1 - before, before)
    truth = true_f1(rates * (1 - lost) + (1 - rates) * gained, design) - true_f1(rates, design)
    return holds(paired_difference(before, after, design).interval, truth)


def make_design(positives: int, n: int) -> Design:
    return Design(np.arange(n), (np.arange(n) >= positives).astype(np.int64), "f1", 0)


def draw_rates(rng: Rng, design: Design) -> Floats:
    """[n]: how often each item is right."""
    return np.where(design.group == 0, rng.choice(RECALLS), rng.choice(SPECIFICITIES))


def true_f1(rates: Floats, design: Design) -> float:
    """F1 of the expected counts."""
    found = float(rates[design.group == 0].sum())
    return 2 * found / (2 * found + float((1 - rates).sum()))


def rare_positives(runs: int) -> Iterator[PromiseLine]:
    for name, (positives, n) in SIZES.items():

        def score(rng: Rng, positives: tuple[int, ...] = positives, n: int = n) -> bool:
            return f1_score(rng, positives, n)

        def difference(rng: Rng, positives: tuple[int, ...] = positives, n: int = n) -> bool:
            return f1_difference(rng, positives, n)

        yield coverage_line(f"score, F1 with {name}", runs // 2, score, MOST)
        yield coverage_line(f"difference, F1 with {name}", runs // 5, difference, MOST)


def draws_of_rare_positives(runs: int) -> Iterator[PromiseLine]:
    """Four draws of each item, of which the candidate's items keep half: all draws of an item are right, or none."""
    design = make_design(10, 40).repeat(4)

    def draw(rng: Rng) -> tuple[Floats, Floats, Floats, Floats]:
        rates = draw_rates(rng, design)
        new_rates = draw_rates(rng, design)
        luck, own = rng.random(40), rng.random(40)
        new_luck = np.where(rng.random(40) < 0.5, luck, own)
        before, after = luck[design.cluster] < rates, new_luck[design.cluster] < new_rates
        return rates, new_rates, before.astype(float), after.astype(float)

    def score(rng: Rng) -> bool:
        rates, _, scores, _ = draw(rng)
        return holds(estimate_score(scores, design).interval, true_f1(rates, design))

    def difference(rng: Rng) -> bool:
        rates, new_rates, before, after = draw(rng)
        truth = true_f1(new_rates, design) - true_f1(rates, design)
        return holds(paired_difference(before, after, design).interval, truth)

    yield coverage_line("score, F1 with 10 positives of 40, 4 draws alike", runs // 2, score, MOST)
    yield coverage_line("difference, F1 with 10 positives of 40, 4 draws alike", runs // 10, difference, MOST)


def recipes_of_rare_positives(runs: int) -> Iterator[PromiseLine]:
    """A recall of 10 and of 30 %, which three positive items show as 0 most of the time."""
    design = make_design(3, 20)
    recalls = np.array([0.1, 0.3])
    rates = np.where(design.group == 0, recalls[:, None], 0.97)
    truth = true_f1(rates[1], design) - true_f1(rates[0], design)
    for seeds in (1, 2, 3):

        def trial(rng: Rng, seeds: int = seeds) -> bool:
            luck = rng.random(len(design.group))
            draws = np.where(rng.random((2 * seeds, len(luck))) < 0.5, luck, rng.random((2 * seeds, len(luck))))
            return holds(recipe_contrast((draws < np.repeat(rates, seeds, axis=0)).astype(float), design).interval, truth)

        yield coverage_line(f"difference of two recipes, {seeds} runs each, F1 with 3 positives of 20", runs // 5, trial, MOST)


PARTS = (rare_positives, draws_of_rare_positives, recipes_of_rare_positives)
