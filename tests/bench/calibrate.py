"""Does every verdict keep its promise?  Simulations with a known truth, seeded; `make calibrate` prints the table.

A false alarm rate must not exceed its nominal 5 % by more than three Monte Carlo errors (an exact test of few flips stays
below it); an interval must hold the truth 93 to 97 % of the time (more often only where flips are few, or where it holds for
all k checkpoints or at all times); power must be as predicted within 3 points.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from simulated import MEAN, Rng, Shape, answers, flips

from harness.comparison import combine, families, mcnemar, paired, power, seeds, select, sequential
from harness.comparison import flips as signs
from harness.comparison.estimate import Floats, influences, quantile, score_interval, simple, wilson

RUNS = 2000
DRAWS = 999


@dataclass(frozen=True)
class Line:
    """One line of the table: a rate seen in `runs` simulations, and the range it must lie in."""

    kind: str
    what: str
    rate: float
    low: float
    high: float
    runs: int

    @property
    def error(self) -> float:
        return float(np.sqrt(max(self.rate * (1 - self.rate), 0.25 / self.runs) / self.runs))

    @property
    def kept(self) -> bool:
        return self.low - 3 * self.error <= self.rate <= self.high + 3 * self.error

    def text(self) -> str:
        promise = f"<= {100 * self.high:.0f}" if self.low == 0 else f"{100 * self.low:.1f} to {100 * self.high:.1f}"
        mark = "" if self.kept else "  BROKEN"
        return f"| {self.kind} | {self.what} | {promise} | {100 * self.rate:.1f} ± {100 * self.error:.1f}{mark} |"


def alarm(what: str, runs: int, trial: Callable[[Rng], bool], level: float = 0.05) -> Line:
    return Line("false alarm", what, rate(runs, trial, what), 0.0, level, runs)


def cover(what: str, runs: int, trial: Callable[[Rng], bool], high: float = 0.97) -> Line:
    return Line("coverage", what, rate(runs, trial, what), 0.93, high, runs)


def rate(runs: int, trial: Callable[[Rng], bool], what: str) -> float:
    rng = np.random.default_rng([len(what), *what.encode()])
    return sum(trial(rng) for _ in range(runs)) / runs


# ---- false alarms ----------------------------------------------------------------------------------------------------------


def mcnemars(runs: int) -> Iterator[Line]:
    for n, discordance in ((50, 0.04), (50, 0.2), (164, 0.1), (541, 0.15), (1319, 0.2), (14042, 0.1)):
        yield alarm(
            f"0/1, n {n}, {100 * discordance:.0f} % discordant: exact McNemar",
            runs,
            lambda rng, n=n, q=discordance: mcnemar.exact(*flips(n, q, 0.0, rng)) <= 0.05,  # type: ignore[misc]
        )
    yield alarm("0/1, n 164, 10 % discordant: mid-p (not the default)", runs,
                lambda rng: mcnemar.middle(*flips(164, 0.1, 0.0, rng)) <= 0.05)  # fmt: skip


SHAPES = {
    "40 problems x 5 draws": Shape(40, 5),
    "120 passages of about 8 items": Shape(120, 8, uneven=True),
    "macro over 27 subtasks of 25": Shape(675, groups=27, aggregate="macro"),
    "F1 of two groups of 100": Shape(200, groups=2, aggregate="f1"),
}


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
        return bool(families.holm(np.array(p)).min() <= 0.05)

    yield alarm("any of 6 skills called changed: Holm", runs, holm)
    for candidates in (2, 10, 50):
        yield alarm(f"any of {candidates} checkpoints x 6 skills called changed: max-T", max(runs // 8, 40),
                    lambda rng, k=candidates: max_t(k, rng))  # type: ignore[misc]  # fmt: skip


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
    adjusted = families.max_t(np.concatenate(seen), np.concatenate(sums), np.concatenate(scale))
    return bool(adjusted.min() <= 0.05)


def peeking(runs: int) -> Iterator[Line]:
    for n, discordance in ((164, 0.1), (1319, 0.2), (5000, 0.05)):

        def trial(rng: Rng, n: int = n, q: float = discordance) -> bool:
            found = sequential.decide(pairs(n, q, 0.0, rng), sequential.Plan(n))
            return found.verdict in ("better", "worse")

        yield alarm(f"looked at after every item, n {n}, {100 * discordance:.0f} % discordant: e-process", runs // 2, trial)

    def fractional(rng: Rng) -> bool:
        found = sequential.decide(np.clip(rng.normal(0, 0.4, 500), -1, 1), sequential.Plan(500))
        return found.verdict in ("better", "worse")

    yield alarm("the same, scores between 0 and 1, n 500", runs // 2, fractional)


def sameness(runs: int) -> Iterator[Line]:
    def fixed(rng: Rng) -> bool:
        found = mcnemar.tango(*flips(1319, 0.06, 0.02, rng), 1319, quantile(0.95))
        return found.low >= -0.02 and found.high <= 0.02

    def running(rng: Rng) -> bool:
        plan = sequential.Plan(1319, margin=0.04)
        return sequential.decide(pairs(1319, 0.1, 0.04, rng), plan).verdict == "same"

    yield alarm("called the same at a difference of the margin", runs, fixed)
    yield alarm("the same, looked at after every item", runs // 2, running)


def pairs(n: int, discordance: float, delta: float, rng: Rng) -> Floats:
    return rng.choice([1.0, -1.0, 0.0], size=n, p=[(discordance + delta) / 2, (discordance - delta) / 2, 1 - discordance])


# ---- coverage --------------------------------------------------------------------------------------------------------------


def score_coverage(runs: int) -> Iterator[Line]:
    for n, share in ((50, 0.1), (164, 0.5), (164, 0.95), (1319, 0.3)):

        def trial(rng: Rng, n: int = n, share: float = share) -> bool:
            found = wilson(rng.binomial(n, share) / n, n, quantile(0.95))
            return found.low <= share <= found.high

        yield cover(f"score, 0/1, n {n}, {100 * share:.0f} % right: Wilson", runs, trial)
    for name, shape in SHAPES.items():

        def clusters(rng: Rng, shape: Shape = shape) -> bool:
            design = shape.design(rng)
            found = score_interval(answers(design, 0.0, 1.0, rng)[0], design)
            return found.low <= truth(shape, 0.0) <= found.high

        yield cover(f"score, {name}", runs // 2, clusters)


def truth(shape: Shape, shift: float) -> float:
    """The score in the population that `answers` draws from."""
    mean = MEAN + shift
    return 2 * mean / (2 * mean + (1 - mean) + (1 - mean)) if shape.aggregate == "f1" else mean


def delta_coverage(runs: int) -> Iterator[Line]:
    for n, discordance, delta in (
        (50, 0.04, 0.0),
        (50, 0.2, 0.1),
        (164, 0.03, 0.02),
        (541, 0.15, -0.05),
        (1319, 0.01, 0.0),
        (14042, 0.1, 0.01),
    ):

        def trial(rng: Rng, n: int = n, q: float = discordance, delta: float = delta) -> bool:
            found = mcnemar.tango(*flips(n, q, delta, rng), n, quantile(0.95))
            return found.low <= delta <= found.high

        yield cover(
            f"difference, 0/1, n {n}, {100 * discordance:.0f} % discordant, {100 * delta:+.0f} points: Tango", runs, trial,
            0.97 if n * discordance > 10 else 1.0,
        )  # fmt: skip
    for name, shape in SHAPES.items():
        for shift, alike in ((0.0, 0.97), (0.05, 0.6)):

            def clusters(rng: Rng, shape: Shape = shape, shift: float = shift, alike: float = alike) -> bool:
                design = shape.design(rng)
                found = paired.delta(*answers(design, shift, alike, rng), design).interval
                return found.low <= moved(shape, shift, alike) <= found.high

            few = "few flips" if alike > 0.9 else "many flips"
            most = 1.0 if alike > 0.9 else 0.97
            yield cover(f"difference, {name}, {few}, {100 * shift:+.0f} points", runs // 2, clusters, most)


def moved(shape: Shape, shift: float, alike: float) -> float:
    """The true difference that `answers` makes: a share of the wrong answers becomes right."""
    return truth(shape, shift) - truth(shape, 0.0)


def skill_coverage(runs: int) -> Iterator[Line]:
    def trial(rng: Rng) -> bool:
        sizes = ((164, 0.04, 0.0), (541, 0.1, 0.03), (250, 0.2, -0.06))
        seen = [flips(n, q, d, rng) for n, q, d in sizes]
        found = [mcnemar.tango(*s, n, quantile(0.95)) for s, (n, _, _) in zip(seen, sizes, strict=True)]
        deltas = [(gained - lost) / n for (lost, gained), (n, _, _) in zip(seen, sizes, strict=True)]
        around = combine.interval(deltas, found, [1 / 3] * 3)[1]
        return around.low <= np.mean([d for _, _, d in sizes]) <= around.high

    yield cover("difference, a skill of three tasks", runs, trial)


def recipes(runs: int) -> Iterator[Line]:
    """Recipes whose runs differ by 3 points (standard deviation), three or five runs of each, 400 items."""
    for count in (3, 5):

        def trial(rng: Rng, count: int = count) -> bool:
            merit = np.concatenate([np.full(count, 0.5), np.full(count, 0.55)]) + rng.normal(0, 0.03, 2 * count)
            scores = (rng.random((2 * count, 400)) < merit[:, None] + rng.normal(0, 0.15, 400)).astype(float)
            found = seeds.between(seeds.Recipe("a", (scores[:count],)), seeds.Recipe("b", (scores[count:],))).interval
            return found.low <= 0.05 <= found.high

        yield cover(f"difference of two recipes, {count} seeds each", runs // 2, trial, 1.0)


def chosen_coverage(runs: int) -> Iterator[Line]:
    for k in (2, 10, 50):
        held = []
        rng = np.random.default_rng(k)
        for run in range(max(runs // 20, 20)):
            merit = 0.5 + rng.normal(0, 0.01, k)
            scores = (rng.random((k, 300)) < merit[:, None]).astype(float)
            choice = select.best(pool(scores), seed=run)
            held.append(
                (
                    choice.interval.low <= merit[int(choice.best)] <= choice.interval.high,
                    str(int(np.argmax(merit))) in choice.equals,
                )
            )
        yield Line(
            "coverage",
            f"score of the best of {k}, after choosing it",
            float(np.mean([h for h, _ in held])),
            0.93,
            1.0,
            len(held),
        )
        yield Line(
            "coverage",
            f"the true best of {k} is among those that could be",
            float(np.mean([h for _, h in held])),
            0.93,
            1.0,
            len(held),
        )


def pool(scores: Floats) -> select.Pool:
    found = [influences(s, simple(scores.shape[1])) for s in scores]
    names = [str(i) for i in range(len(scores))]
    return select.Pool(names, np.array([v for v, _ in found]), [np.stack([i for _, i in found], axis=1)])


# ---- power and saving ------------------------------------------------------------------------------------------------------


def predicted(runs: int) -> Iterator[Line]:
    for n, discordance, delta in ((164, 0.1, 0.07), (541, 0.15, 0.05), (1319, 0.2, 0.03), (14042, 0.1, 0.0075)):
        promise = power.found(n, discordance, delta)
        seen = rate(runs, lambda rng, n=n, q=discordance, d=delta: mcnemar.exact(*flips(n, q, d, rng)) <= 0.05, f"power {n}")  # type: ignore[misc]
        yield Line(
            "power",
            f"n {n}, {100 * discordance:.0f} % discordant, {100 * delta:.2g} points",
            seen,
            promise - 0.03,
            promise + 0.03,
            runs,
        )


def savings(runs: int) -> Iterator[str]:
    for discordance in (0.1, 0.15, 0.2):
        rng = np.random.default_rng(int(1000 * discordance))
        found = [
            sequential.decide(pairs(1319, discordance, 0.05, rng), sequential.Plan(1319)) for _ in range(max(runs // 4, 50))
        ]
        share = np.median([d.used for d in found]) / 1319
        right = np.mean([d.verdict == "better" for d in found])
        fixed = power.found(1319, discordance, 0.05)
        yield (f"| items needed | a true 5 points, n 1319, {100 * discordance:.0f} % discordant: finds {100 * right:.0f} % "
               f"(all items at once: {100 * fixed:.0f} %) | median <= 40 | {100 * share:.0f} |")  # fmt: skip


def flattery(runs: int) -> Iterator[str]:
    for k in (5, 50):
        rng = np.random.default_rng(k)
        shown, corrected = [], []
        for run in range(max(runs // 40, 20)):
            scores = rng.integers(0, 2, (k, 300)).astype(float)
            choice = select.best(pool(scores), seed=run)
            shown.append(choice.score)
            corrected.append(choice.corrected)
        yield (f"| best of {k} | equal checkpoints at 50.0: the highest shows {100 * np.mean(shown):.1f}; corrected "
               f"| 50.0 | {100 * np.mean(corrected):.1f} ± {100 * np.std(corrected) / np.sqrt(len(corrected)):.1f} |")  # fmt: skip


PARTS = (mcnemars, clustered, fractions, family, peeking, sameness,
         score_coverage, delta_coverage, skill_coverage, recipes, chosen_coverage, predicted)  # fmt: skip


def main(runs: int = RUNS) -> int:
    started = time.monotonic()
    print("| kind | what | promised, % | seen, % |\n|---|---|---|---|")
    broken = 0
    for part in PARTS:
        for line in part(runs):
            print(line.text(), flush=True)
            broken += not line.kept
    for table in (savings, flattery):
        for text in table(runs):
            print(text, flush=True)
    print(f"\n{broken} promises broken; {runs} runs, {time.monotonic() - started:.0f} s", file=sys.stderr)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS))
