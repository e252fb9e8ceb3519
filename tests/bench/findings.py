"""What is found: power as predicted, items that the sequential test needs, and what choosing the best does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.statistics import best_of_many, mcnemar, power, sequential_test
from tests.bench.coverages import pool
from tests.bench.rates import Line, counted, tried
from tests.bench.simulated import Rng, flips, pairs


def predicted(runs: int) -> Iterator[Line]:
    for n, discordance, delta in ((164, 0.1, 0.07), (541, 0.15, 0.05), (1319, 0.2, 0.03), (14042, 0.1, 0.0075)):

        def trial(rng: Rng, n: int = n, q: float = discordance, delta: float = delta) -> bool:
            return mcnemar.exact(*flips(n, q, delta, rng)) <= 0.05

        what = f"n {n}, {100 * discordance:.0f} % discordant, {100 * delta:.2g} points"
        promise = power.found(n, discordance, delta)
        yield counted("power", what, tried(runs, trial, what), promise - 0.03, promise + 0.03)


def savings(runs: int) -> Iterator[Line]:
    """Items until a decision for a true 5 points on a task of GSM8K's size, and how often it is the right one."""
    for discordance in (0.1, 0.15, 0.2):
        rng, plan = np.random.default_rng(int(1000 * discordance)), sequential_test.Plan(1319)
        found = [sequential_test.decide(pairs(1319, discordance, 0.05, rng), plan) for _ in range(max(runs // 4, 50))]
        name = f"5 points, n 1319, {100 * discordance:.0f} % discordant"
        used = np.array([d.used for d in found]) / 1319
        error = 1.25 * float(np.std(used)) / len(used) ** 0.5
        yield Line("items needed", f"{name}: median until decided", float(np.median(used)), error, 0.0, 0.4)
        fixed = power.found(1319, discordance, 0.05)
        right = [d.verdict == "better" for d in found]
        yield counted("power", f"{name}: found by then (all items at once: {100 * fixed:.0f} %)", right, fixed - 0.05, 1.0)


def flattery(runs: int) -> Iterator[Line]:
    """k equal checkpoints at 50: the highest looks better than it is; the corrected score must not."""
    for k in (5, 50):
        rng = np.random.default_rng(k)
        choices = [
            best_of_many.best(pool(rng.integers(0, 2, (k, 300)).astype(float)), seed=run) for run in range(max(runs // 10, 20))
        ]
        corrected = np.array([c.corrected for c in choices])
        shown = 100 * float(np.mean([c.score for c in choices]))
        error = float(corrected.std()) / len(corrected) ** 0.5
        yield Line(
            "selection", f"best of {k} equals at 50: shows {shown:.1f}, corrected", float(corrected.mean()), error, 0.5, 0.5
        )


PARTS = (predicted, savings, flattery)
