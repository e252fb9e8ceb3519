"""Power as predicted, the items that the sequential test needs, and the bias of choosing the best."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.statistics import best_of_many, mcnemar, power, sequential_test
from tests.bench.rates import PromiseLine, rate_line, run_trials
from tests.bench.simulated import Rng, candidate_pool, flips, pairs


def power_predictions(runs: int) -> Iterator[PromiseLine]:
    for n, discordance, delta in ((164, 0.1, 0.07), (541, 0.15, 0.05), (1319, 0.2, 0.03), (14042, 0.1, 0.0075)):

        def trial(rng: Rng, n: int = n, q: float = discordance, delta: float = delta) -> bool:
            return mcnemar.exact_p(*flips(n, q, delta, rng)) <= 0.05

        what = f"n {n}, {100 * discordance:.0f} % discordant, {100 * delta:.2g} points"
        promise = power.mcnemar_power(n, discordance, delta)
        yield rate_line("power", what, run_trials(runs, trial, what), promise - 0.03, promise + 0.03)


def sequential_savings(runs: int) -> Iterator[PromiseLine]:
    """Items until a decision for a true 5 points on a task of GSM8K's size, and how often it is the right one."""
    for discordance in (0.1, 0.15, 0.2):
        rng, plan = np.random.default_rng(int(1000 * discordance)), sequential_test.SequentialPlan(1319)
        decisions = [sequential_test.decide(pairs(1319, discordance, 0.05, rng), plan) for _ in range(max(runs // 4, 50))]
        name = f"5 points, n 1319, {100 * discordance:.0f} % discordant"
        shares_used = np.array([d.items_used for d in decisions]) / 1319
        error = 1.25 * float(np.std(shares_used)) / len(shares_used) ** 0.5
        yield PromiseLine("items needed", f"{name}: median until decided", float(np.median(shares_used)), error, 0.0, 0.4)
        fixed_power = power.mcnemar_power(1319, discordance, 0.05)
        right = [d.verdict == "better" for d in decisions]
        yield rate_line(
            "power", f"{name}: found by then (all items at once: {100 * fixed_power:.0f} %)", right, fixed_power - 0.05, 1.0
        )


def winner_bias(runs: int) -> Iterator[PromiseLine]:
    """k equal checkpoints at 50: the highest score is biased upwards; the corrected score must not be."""
    for k in (5, 50):
        rng = np.random.default_rng(k)
        choices = [
            best_of_many.select_best(candidate_pool(rng.integers(0, 2, (k, 300)).astype(float)), seed=run)
            for run in range(max(runs // 10, 20))
        ]
        corrected_scores = np.array([c.corrected_score for c in choices])
        mean_score = 100 * float(np.mean([c.score for c in choices]))
        error = float(corrected_scores.std()) / len(corrected_scores) ** 0.5
        yield PromiseLine(
            "selection",
            f"best of {k} equals at 50: shows {mean_score:.1f}, corrected",
            float(corrected_scores.mean()),
            error,
            0.5,
            0.5,
        )


PARTS = (power_predictions, sequential_savings, winner_bias)
