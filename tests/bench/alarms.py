"""False alarms: how often equal checkpoints are called different."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.statistics import mcnemar, multiple_testing, paired, sequential_test
from harness.statistics import sign_flip_test as signs
from harness.statistics.estimate import quantile, simple
from tests.bench.rates import Line, alarm
from tests.bench.simulated import SHAPES, Rng, Shape, answers, flips, pairs

DRAWS = 999


def mcnemars(runs: int) -> Iterator[Line]:
    for n, discordance in ((50, 0.04), (50, 0.2), (164, 0.1), (541, 0.15), (1319, 0.2), (14042, 0.1)):
        yield alarm(
            f"0/1, n {n}, {100 * discordance:.0f} % discordant: exact McNemar",
            runs,
            lambda rng, n=n, q=discordance: mcnemar.exact(*flips(n, q, 0.0, rng)) <= 0.05,  # type: ignore[misc]
        )
    yield alarm("0/1, n 164, 10 % discordant: mid-p (not the default)", runs,
                lambda rng: mcnemar.middle(*flips(164, 0.1, 0.0, rng)) <= 0.05)  # fmt: skip


def clustered(runs: int) -> Iterator[Line]:
    for name, shape in SHAPES.items():

        def trial(rng: Rng, shape: Shape = shape) -> bool:
            design = shape.design(rng)
            found = paired.delta(*answers(design, 0.0, 0.6, rng), design)
            sums = signs.drawn(found.contributions[:, None], DRAWS, int(rng.integers(2**31)))[0]
            return signs.two_sided(found.contributions, sums).p <= 0.05

        yield alarm(f"{name}: sign flips of clusters", runs // 4, trial)


def fractions(runs: int) -> Iterator[Line]:
    def trial(rng: Rng) -> bool:
        before, after = np.clip(rng.normal(0.5, 0.3, (2, 100)), 0, 1)
        found = paired.delta(before, after, simple(100))
        return (
            signs.two_sided(
                found.contributions, signs.drawn(found.contributions[:, None], DRAWS, int(rng.integers(2**31)))[0]
            ).p
            <= 0.05
        )

    yield alarm("scores between 0 and 1, n 100: sign flips", runs // 4, trial)


def family(runs: int) -> Iterator[Line]:
    def holm(rng: Rng) -> bool:
        p = [mcnemar.exact(*flips(n, 0.15, 0.0, rng)) for n in (164, 250, 541, 817, 1319, 14042)]
        return bool(multiple_testing.holm(np.array(p)).min() <= 0.05)

    yield alarm("any of 6 skills called changed: Holm", runs, holm)
    for candidates, part in ((2, 2), (10, 2), (50, 8)):

        def any_changed(rng: Rng, candidates: int = candidates) -> bool:
            return max_t(candidates, rng)

        yield alarm(f"any of {candidates} checkpoints x 6 skills called changed: max-T", max(runs // part, 40), any_changed)


def max_t(candidates: int, rng: Rng) -> bool:
    """k checkpoints no better than the baseline, 6 tasks of 200 items: does any come out as changed?"""
    seen, sums, scale = [], [], []
    for task in range(6):
        easy = rng.beta(1.2, 1.0, 200)
        scores = (rng.random((candidates + 1, 200)) < easy).astype(float)
        scores[1:] = np.where(rng.random((candidates, 200)) < 0.5, scores[0], scores[1:])
        change = (scores[1:] - scores[0]).T / 200
        seen.append(change.sum(axis=0))
        sums.append(signs.drawn(change, DRAWS, (int(rng.integers(2**31)), task)))
        scale.append(np.sqrt((change**2).sum(axis=0)))
    adjusted = multiple_testing.max_t(np.concatenate(seen), np.concatenate(sums), np.concatenate(scale))
    return bool(adjusted.min() <= 0.05)


def peeking(runs: int) -> Iterator[Line]:
    for n, discordance in ((164, 0.1), (1319, 0.2), (5000, 0.05)):

        def trial(rng: Rng, n: int = n, q: float = discordance) -> bool:
            found = sequential_test.decide(pairs(n, q, 0.0, rng), sequential_test.Plan(n))
            return found.verdict in ("better", "worse")

        yield alarm(f"looked at after every item, n {n}, {100 * discordance:.0f} % discordant: e-process", runs // 2, trial)

    def fractional(rng: Rng) -> bool:
        found = sequential_test.decide(np.clip(rng.normal(0, 0.4, 500), -1, 1), sequential_test.Plan(500))
        return found.verdict in ("better", "worse")

    yield alarm("the same, scores between 0 and 1, n 500", runs // 2, fractional)


def sameness(runs: int) -> Iterator[Line]:
    def fixed(rng: Rng) -> bool:
        found = mcnemar.tango(*flips(1319, 0.06, 0.02, rng), 1319, quantile(0.95))
        return found.low >= -0.02 and found.high <= 0.02

    def running(rng: Rng) -> bool:
        plan = sequential_test.Plan(1319, margin=0.04)
        return sequential_test.decide(pairs(1319, 0.1, 0.04, rng), plan).verdict == "same"

    yield alarm("called the same at a difference of the margin", runs, fixed)
    yield alarm("the same, looked at after every item", runs // 2, running)


PARTS = (mcnemars, clustered, fractions, family, peeking, sameness)
