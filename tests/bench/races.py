"""Choosing among many checkpoints, and bisecting a run: what is lost, what it costs, and what the whole matrix says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.evaluation.item_rounds import rounds_between_looks
from harness.statistics.aggregates import Floats
from harness.statistics.best_of_many import CandidatePool, PoolTask, bootstrap_errors, possible_best
from harness.statistics.elimination import Race, Round, plan_rounds
from harness.statistics.fall_test import FallTest
from tests.bench.rates import PromiseLine, rate_line
from tests.bench.simulated import MEAN, Rng, pairs

SUITE = (164, 250, 541, 817, 1319, 1400)  # items of six tasks


def simulate_scores(sizes: Sequence[int], gaps: Sequence[float], rng: Rng, alike: float = 0.6) -> list[Floats]:
    """For each task, 0/1 scores [items, checkpoints]; checkpoint i is `gaps[i]` below the first in truth.

    Items differ in difficulty, and checkpoints share an answer with probability `alike`.
    """
    tasks = []
    for size in sizes:
        easy = rng.beta(1.2, 1.0, size)[:, None]
        shared, own = rng.random((size, 1)) < easy, rng.random((size, len(gaps))) < easy
        right = np.where(rng.random(own.shape) < alike, shared, own)
        tasks.append((right & (rng.random(own.shape) >= np.array(gaps) / MEAN)).astype(float))
    return tasks


def race_on(tasks: Sequence[Floats], shares: Sequence[float]) -> tuple[Race, float]:
    """A race over complete scores, with the looks of evaluation/choose.py, and the share of answers that it used."""
    sizes = np.array([len(t) for t in tasks])
    counts, race, used = plan_rounds(sizes), Race(tasks[0].shape[1], sizes, np.array(shares)), 0
    for first, end in rounds_between_looks(counts.sum(axis=1)):
        used += len(race.alive) * int(counts[end].sum() - counts[first].sum())
        for r in range(first, end):
            parts = [t[low:high] for t, low, high in zip(tasks, counts[r], counts[r + 1], strict=True)]
            race.advance(Round(np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(p) for p in parts])))
        if end < len(counts) - 1 and race.is_decided():
            return race, used / (race.contestants * int(sizes.sum()))
    race.finish()
    return race, used / (race.contestants * int(sizes.sum()))


def whole_matrix_set(tasks: Sequence[Floats], shares: Sequence[float]) -> set[int]:
    """What all answers leave as possibly the best, by the method of `compare`."""
    scores = np.sum([s * t.mean(axis=0) for s, t in zip(shares, tasks, strict=True)], axis=0)
    parts = [PoolTask.of_items(s * (t - t.mean(axis=0)) / len(t), s) for s, t in zip(shares, tasks, strict=True)]
    pool = CandidatePool([str(i) for i in range(len(scores))], scores, parts)
    return set(possible_best(scores, bootstrap_errors(pool), 0.95))


def choosing(runs: int) -> Iterator[PromiseLine]:
    """50 checkpoints, of which 5 are within 2 points of the best, and the others 5 to 40 points below it."""
    shares, rng = [1 / len(SUITE)] * len(SUITE), np.random.default_rng(17)
    costs, losses, missing, same_best = [], [], [], []
    for _ in range(max(runs // 40, 10)):
        tasks = simulate_scores(SUITE, [0, 0.005, 0.01, 0.015, 0.02, *rng.uniform(0.05, 0.4, 45)], rng)
        race, share = race_on(tasks, shares)
        matrix, left = whole_matrix_set(tasks, shares), set(race.alive.tolist())
        costs.append(share)
        losses.append(0 not in left)
        missing += [i not in left for i in matrix]
        best = int(np.argmax(np.sum([s * t.mean(axis=0) for s, t in zip(shares, tasks, strict=True)], axis=0)))
        same_best.append(best in left)
    name = f"50 checkpoints, 5 within 2 points, {sum(SUITE)} items"
    error = float(np.std(costs)) / len(costs) ** 0.5
    yield PromiseLine("items needed", f"{name}: share of all answers", float(np.mean(costs)), error, 0.0, 0.15)
    yield rate_line("false alarm", f"{name}: the best is lost", losses, 0.0, 0.05)
    yield rate_line("false alarm", f"{name}: one that all answers leave is lost", missing, 0.0, 0.05)
    yield rate_line("selection", f"{name}: the highest of all answers is left", same_best, 0.95, 1.0)


def losing_the_best(runs: int) -> Iterator[PromiseLine]:
    """The hardest case for the error: all others are as good as the best."""
    for sizes in ((400,), (60, 400)):
        rng = np.random.default_rng(sum(sizes))
        losses = [0 not in race_on(simulate_scores(sizes, [0.0] * 8, rng), [1 / len(sizes)] * len(sizes))[0].alive
                  for _ in range(max(runs // 10, 20))]  # fmt: skip
        yield rate_line("false alarm", f"8 equal checkpoints, {len(sizes)} tasks: one of them is eliminated", losses, 0.0, 0.05)


def bisecting(runs: int) -> Iterator[PromiseLine]:
    """A run of 30 checkpoints that loses 8 points at one step, on 1,319 items: how often another step is named."""
    wrong, tried, shares = [], [], []
    for _ in range(max(runs // 20, 20)):
        rng = np.random.default_rng(len(wrong))
        fall, low, high, asked = int(rng.integers(1, 30)), -1, 30, []
        while high - low > 1 or not asked:
            place = (low + high) // 2 if asked else 29
            changes = pairs(1319, 0.15, -0.08 if place >= fall else 0.0, rng)
            state, used = try_step(changes, 0.05 / 8)
            asked.append(used / 1319)
            low, high = (low, place) if state == "fallen" else (place, high)
        wrong.append(high != fall)
        tried.append(len(asked))
        shares.append((sum(asked) + max(asked)) / 31)
    name = "30 checkpoints, one falls by 8 points"
    error = float(np.std(shares)) / len(shares) ** 0.5
    yield rate_line("false alarm", f"bisect, {name}: another step is named", wrong, 0.0, 0.05)
    yield PromiseLine("items needed", f"bisect, {name}: share of all answers", float(np.mean(shares)), error, 0.0, 0.1)


def try_step(changes: Floats, alpha: float) -> tuple[str, int]:
    """The verdict on a checkpoint, and how many items it took; undecided ones go by half of the drop of 5 points."""
    test = FallTest(0.05, alpha)
    for used, change in enumerate(changes, 1):
        test.advance(np.array([change]), np.ones(1))
        if test.verdict:
            return test.verdict, used
    return "fallen" if changes.mean() < -0.025 else "whole", len(changes)


PARTS = (choosing, losing_the_best, bisecting)
