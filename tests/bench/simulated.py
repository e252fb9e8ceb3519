"""Simulated results with known truth: items of varying difficulty, checkpoints that share most of their answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.statistics.aggregates import Design, Floats, cluster_sums, influences, simple_design
from harness.statistics.best_of_many import CandidatePool, PoolTask
from harness.statistics.cluster_layout import ClusterLayout
from harness.statistics.estimate import estimate_score

Rng = np.random.Generator
MEAN = 1.2 / 2.2  # the mean difficulty of `answers`


@dataclass(frozen=True)
class Shape:
    """The design of a task: `clusters` of `size` items (Poisson around it when `uneven`), in `groups` equal groups."""

    clusters: int
    size: int = 1
    groups: int = 1
    uneven: bool = False
    aggregate: str = "mean"

    def design(self, rng: Rng) -> Design:
        sizes = 1 + rng.poisson(self.size - 1, self.clusters) if self.uneven else np.full(self.clusters, self.size)
        cluster = np.repeat(np.arange(self.clusters), sizes)
        return Design(cluster, cluster % self.groups, self.aggregate, 0)  # type: ignore[arg-type]


def answers(design: Design, shift: float, alike: float, rng: Rng) -> tuple[Floats, Floats]:
    """0/1 scores [items] of a baseline, and of a candidate whose true mean is `shift` higher.

    Each cluster has a difficulty.  The candidate repeats the baseline's answer with probability `alike`, and otherwise answers
    anew; then a share of its wrong (or right) answers is turned round.
    """
    count = int(design.cluster.max()) + 1
    easy = rng.beta(1.2, 1.0, count)[design.cluster]
    before = (rng.random(len(easy)) < easy).astype(float)
    anew = (rng.random(len(easy)) < easy).astype(float)
    after = np.where(rng.random(len(easy)) < alike, before, anew)
    push = rng.random(len(easy))
    wrong = 1 - MEAN
    after = np.where((shift > 0) & (push < shift / wrong), np.maximum(after, 1.0), after)
    after = np.where((shift < 0) & (push < -shift / MEAN), 0.0, after)
    return before, after


def flips(n: int, discordance: float, delta: float, rng: Rng) -> tuple[int, int]:
    """Losses and gains among n independent pairs."""
    losses, gains, _ = rng.multinomial(n, [(discordance - delta) / 2, (discordance + delta) / 2, 1 - discordance])
    return int(losses), int(gains)


def pairs(n: int, discordance: float, delta: float, rng: Rng) -> Floats:
    """[n]: differences -1, 0 or 1 of independent pairs."""
    return rng.choice([1.0, -1.0, 0.0], size=n, p=[(discordance + delta) / 2, (discordance - delta) / 2, 1 - discordance])


def candidate_pool(scores: Floats, design: Design | None = None) -> CandidatePool:
    """The pool of checkpoints "0", "1" ... with scores [k, samples] of one task; `design`: by default of independent items."""
    samples = design or simple_design(scores.shape[1])
    own = [estimate_score(row, samples) for row in scores]
    sums = np.stack([cluster_sums(samples.clusters, influences(row, samples)[1]) for row in scores], axis=1)
    task = PoolTask.of_layouts(sums, [ClusterLayout.of_design(samples, len(sums))], 1.0)
    interval_of = (lambda place, level: own[place].at_level(level).interval) if design else None
    return CandidatePool([str(i) for i in range(len(scores))], np.array([e.score for e in own]), [task], interval_of)


SHAPES = {
    "40 problems x 5 draws": Shape(40, 5),
    "120 passages of about 8 items": Shape(120, 8, uneven=True),
    "macro over 27 subtasks of 25": Shape(675, groups=27, aggregate="macro"),
    "F1 of two groups of 100": Shape(200, groups=2, aggregate="f1"),
}
