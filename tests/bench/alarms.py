"""False alarms: how often equal checkpoints are called different."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from harness.statistics import mcnemar, multiple_testing, paired, sequential_test
from harness.statistics import sign_flip_test as signs
from harness.statistics.aggregates import critical_value, simple_design
from tests.bench.rates import PromiseLine, alarm_line
from tests.bench.simulated import SHAPES, Rng, Shape, answers, flips, pairs

DRAWS = 999


def mcnemar_tests(runs: int) -> Iterator[PromiseLine]:
    for n, discordance in ((50, 0.04), (50, 0.2), (164, 0.1), (541, 0.15), (1319, 0.2), (14042, 0.1)):
        yield alarm_line(
            f"0/1, n {n}, {100 * discordance:.0f} % discordant: exact McNemar",
            runs,
            lambda rng, n=n, q=discordance: mcnemar.exact_p(*flips(n, q, 0.0, rng)) <= 0.05,  # type: ignore[misc]
        )
    yield alarm_line("0/1, n 164, 10 % discordant: mid-p (not the default)", runs,
                lambda rng: mid_p(*flips(164, 0.1, 0.0, rng)) <= 0.05)  # fmt: skip


def mid_p(losses: int, gains: int) -> float:
    """McNemar's mid-p (Fagerland, Lydersen and Laake 2013): the observed count enters with half of its probability."""
    coin, fewer = stats.binom(losses + gains, 0.5), min(losses, gains)
    return float(2 * coin.cdf(fewer) - coin.pmf(fewer)) if losses + gains else 1.0


def clustered_tests(runs: int) -> Iterator[PromiseLine]:
    for name, shape in SHAPES.items():

        def trial(rng: Rng, shape: Shape = shape) -> bool:
            design = shape.design(rng)
            difference = paired.paired_difference(*answers(design, 0.0, 0.6, rng), design)
            sums = signs.draw_sums(difference.contributions[:, None], DRAWS, int(rng.integers(2**31)))[0]
            return signs.two_sided_p(difference.contributions, sums).p <= 0.05

        yield alarm_line(f"{name}: sign flips of clusters", runs // 4, trial)


def fractional_scores(runs: int) -> Iterator[PromiseLine]:
    def trial(rng: Rng) -> bool:
        before, after = np.clip(rng.normal(0.5, 0.3, (2, 100)), 0, 1)
        difference = paired.paired_difference(before, after, simple_design(100))
        return (
            signs.two_sided_p(
                difference.contributions, signs.draw_sums(difference.contributions[:, None], DRAWS, int(rng.integers(2**31)))[0]
            ).p
            <= 0.05
        )

    yield alarm_line("scores between 0 and 1, n 100: sign flips", runs // 4, trial)


def test_families(runs: int) -> Iterator[PromiseLine]:
    def holm(rng: Rng) -> bool:
        p = [mcnemar.exact_p(*flips(n, 0.15, 0.0, rng)) for n in (164, 250, 541, 817, 1319, 14042)]
        return bool(multiple_testing.holm(np.array(p)).min() <= 0.05)

    yield alarm_line("any of 6 skills called changed: Holm", runs, holm)
    for candidates, part in ((2, 2), (10, 2), (50, 8)):

        def any_changed(rng: Rng, candidates: int = candidates) -> bool:
            return max_t_alarm(candidates, rng)

        yield alarm_line(
            f"any of {candidates} checkpoints x 6 skills called changed: max-T", max(runs // part, 40), any_changed
        )


def max_t_alarm(candidates: int, rng: Rng) -> bool:
    """k checkpoints no better than the baseline, 6 tasks of 200 items: does any come out as changed?"""
    differences, null_sums, null_sd = [], [], []
    for task in range(6):
        easy = rng.beta(1.2, 1.0, 200)
        scores = (rng.random((candidates + 1, 200)) < easy).astype(float)
        scores[1:] = np.where(rng.random((candidates, 200)) < 0.5, scores[0], scores[1:])
        change = (scores[1:] - scores[0]).T / 200
        differences.append(change.sum(axis=0))
        null_sums.append(signs.draw_sums(change, DRAWS, (int(rng.integers(2**31)), task)))
        null_sd.append(np.sqrt((change**2).sum(axis=0)))
    p_values = multiple_testing.step_down_max_t(np.concatenate(differences), np.concatenate(null_sums), np.concatenate(null_sd))
    return bool(p_values.min() <= 0.05)


def sequential_looks(runs: int) -> Iterator[PromiseLine]:
    for n, discordance in ((164, 0.1), (1319, 0.2), (5000, 0.05)):

        def trial(rng: Rng, n: int = n, q: float = discordance) -> bool:
            decision = sequential_test.decide(pairs(n, q, 0.0, rng), sequential_test.SequentialPlan(n))
            return decision.verdict in ("better", "worse")

        yield alarm_line(
            f"looked at after every item, n {n}, {100 * discordance:.0f} % discordant: e-process", runs // 2, trial
        )

    def fractional(rng: Rng) -> bool:
        decision = sequential_test.decide(np.clip(rng.normal(0, 0.4, 500), -1, 1), sequential_test.SequentialPlan(500))
        return decision.verdict in ("better", "worse")

    yield alarm_line("the same, scores between 0 and 1, n 500", runs // 2, fractional)


def sameness(runs: int) -> Iterator[PromiseLine]:
    def all_at_once(rng: Rng) -> bool:
        interval = mcnemar.tango_interval(*flips(1319, 0.06, 0.02, rng), 1319, critical_value(0.95))
        return interval.low >= -0.02 and interval.high <= 0.02

    def running(rng: Rng) -> bool:
        plan = sequential_test.SequentialPlan(1319, margin=0.04)
        return sequential_test.decide(pairs(1319, 0.1, 0.04, rng), plan).verdict == "same"

    yield alarm_line("called the same at a difference of the margin", runs, all_at_once)
    yield alarm_line("the same, looked at after every item", runs // 2, running)


PARTS = (mcnemar_tests, clustered_tests, fractional_scores, test_families, sequential_looks, sameness)
