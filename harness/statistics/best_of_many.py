"""The best of k checkpoints: its score corrected for the choice, and the candidates that could be the best as well.

The highest of k noisy scores is too high, because the choice prefers luck as well as merit (the winner's curse).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.statistics.aggregates import Floats, Interval, Ints, simple_design
from harness.statistics.cluster_layout import ClusterLayout
from harness.statistics.estimate import Variance, bounded_estimate
from harness.statistics.weighted_means import share_rows

HALVES = 2
DRAWS = 2_000


@dataclass(frozen=True)
class BestSelection:
    """The checkpoint with the highest score.  Scores in 0..1."""

    best: str
    score: float  # on all items
    corrected_score: float  # mean score of what one half of the items chooses on the other half
    interval: Interval  # for the true score of the chosen one, whichever it is
    probability: Floats  # [k]: how often each comes out highest when the items are drawn again
    equals: tuple[str, ...]  # candidates that the best does not beat; they hold the true best with probability `level`


@dataclass(frozen=True)
class PoolTask:
    """One task of k checkpoints: the influences [clusters, k] on their scores, and what makes the errors of these.

    `errors` [clusters, k]: influences, scaled so that their squares add up to variances.  `strata` [clusters].  `whole`: what a
    cluster adds to a score if it changes as a whole.  `units` [clusters]: the numbers of its rows, which tasks over the same
    rows share; None: this task shares none.
    """

    influences: Floats
    errors: Floats
    strata: Ints
    whole: float
    units: Ints | None = None

    @classmethod
    def of_items(cls, influences: Floats, share: float = 1.0, units: Ints | None = None) -> PoolTask:
        """Of independent items, whose mean has the weight `share` in the score."""
        layout = ClusterLayout.of_design(simple_design(len(influences)), len(influences))
        return cls.of_layouts(influences, [layout], share, units)

    @classmethod
    def of_layouts(
        cls, influences: Floats, layouts: Sequence[ClusterLayout], share: float, units: Ints | None = None
    ) -> PoolTask:
        """`layouts`: of each checkpoint, or one for all of them; those with fewer clusters lack the last ones."""
        count = len(influences)
        scales = np.stack([np.pad(layout.scale, (0, count - len(layout.scale))) for layout in layouts], axis=1)
        longest = max(layouts, key=lambda layout: int(np.sum(layout.strata >= 0)))
        strata = np.pad(longest.strata, (0, count - len(longest.strata)), constant_values=-1)
        return cls(influences, influences * scales, strata, share * max(layout.whole for layout in layouts), units)


@dataclass(frozen=True)
class CandidatePool:
    """k checkpoints with comparable scores [k].

    `interval_of`: a checkpoint's own interval at a level; without it one is made from the influences.
    """

    names: Sequence[str]
    scores: Floats
    tasks: Sequence[PoolTask]
    interval_of: Callable[[int, float], Interval] | None = None

    def own_interval(self, place: int, level: float) -> Interval:
        if self.interval_of:
            return self.interval_of(place, level)
        blocks = list(self.blocks())
        clusters = 1 / sum(len(b.influences) * b.whole**2 for b in blocks)
        variance = sum(float(np.sum(b.errors[:, place] ** 2)) for b in blocks)
        return bounded_estimate(float(self.scores[place]), Variance(variance, max(clusters - 1, 1.0)), clusters, level).interval

    def blocks(self) -> Iterator[PoolTask]:
        """The tasks, with those that share rows made one task whose clusters are the rows."""
        groups: list[list[PoolTask]] = []
        for task in self.tasks:
            apart, together = [], []
            for group in groups:
                if any(share_rows(task.units, other.units) for other in group):
                    together += group
                else:
                    apart.append(group)
            groups = [*apart, [*together, task]]
        yield from map(merge_tasks, groups)


def merge_tasks(tasks: Sequence[PoolTask]) -> PoolTask:
    """One task whose clusters are the rows of these; what a row adds to several scores is added up."""
    if len(tasks) == 1:
        return tasks[0]
    units = [np.arange(0) if t.units is None else t.units for t in tasks]
    rows = np.unique(np.concatenate(units))
    strata = np.full((len(rows), len(tasks)), -1)
    influences, errors = np.zeros((2, len(rows), tasks[0].influences.shape[1]))
    for column, (task, own) in enumerate(zip(tasks, units, strict=True)):
        place = np.searchsorted(rows, own)
        influences[place] += task.influences
        errors[place] += task.errors
        strata[place, column] = task.strata
    together = np.unique(strata, axis=0, return_inverse=True)[1].reshape(-1)
    return PoolTask(influences, errors, together.astype(np.int64), sum(t.whole for t in tasks), rows)


def select_best(pool: CandidatePool, level: float = 0.95, seed: int = 0) -> BestSelection:
    """The candidate with the highest score, with what the choice does to that score."""
    winner = int(np.argmax(pool.scores))
    errors = bootstrap_errors(pool, seed)
    winners = np.argmax(pool.scores + errors, axis=1)
    corrected_score, interval = cross_fit_score(pool, seed), winner_interval(pool, errors, winner, level)
    return BestSelection(
        best=pool.names[winner],
        score=float(pool.scores[winner]),
        corrected_score=corrected_score,
        interval=Interval(min(interval.low, corrected_score), max(interval.high, corrected_score)),
        probability=np.bincount(winners, minlength=len(pool.names)) / len(errors),
        equals=tuple(pool.names[i] for i in possible_best(pool.scores, errors, level)),
    )


def bootstrap_errors(pool: CandidatePool, seed: int = 0) -> Floats:
    """[draws, k]: errors of the k scores by the wild bootstrap with normal multipliers (Mammen 1993).

    A cluster's influences are multiplied alike for all checkpoints, which keeps the dependence between them.  Each checkpoint
    has one cluster more, of its own, that changes as a whole: next to 0 and 100 % the clusters seen do not vary, and a
    difference of two checkpoints gets the two pseudo-observations of `paired.add_pseudo_observations`.
    """
    rng = np.random.default_rng(seed)
    errors = np.zeros((DRAWS, len(pool.scores)))
    blocks = list(pool.blocks())
    for block in blocks:
        of_clusters = block.errors.astype(np.float32)
        for start in range(0, DRAWS, 500):
            multipliers = rng.standard_normal((min(500, DRAWS - start), len(of_clusters)), np.float32)
            errors[start : start + 500] += multipliers @ of_clusters
    pseudo_error = float(np.sqrt(sum(block.whole**2 for block in blocks)))
    return errors + pseudo_error * rng.standard_normal(errors.shape)


def cross_fit_score(pool: CandidatePool, seed: int = 0, repeats: int = 50) -> float:
    """The mean score on one half of the clusters of the candidate that the other half chooses, over random divisions.

    It is unbiased for the choice that half of the items makes, whatever the true scores; a bootstrap of the maximum is not,
    where several are equal.  It is a little too low where all items choose better than half of them.
    """
    # With more than two halves, the candidate that leads by luck leads in most of them, which doubles the error.
    rng = np.random.default_rng(seed)
    blocks, half_scores = list(pool.blocks()), []
    for _ in range(repeats):
        halves = pool.scores + sum(score_halves(block, rng) for block in blocks)
        picks = np.argmax(halves[::-1], axis=1)
        half_scores.append(np.mean([halves[half, k] for half, k in enumerate(picks)]))
    return float(np.mean(half_scores))


def score_halves(task: PoolTask, rng: np.random.Generator) -> Floats:
    """[2, k]: by how much the scores of two random halves of the clusters, of every stratum, differ from those of all.

    A stratum with a single cluster is the same in both.
    """
    # Of a stratum's clusters in a half: (clusters of the stratum / of them in the half) * the sum of their influences.
    order = np.argsort(rng.permutation(len(task.strata)))
    strata = np.unique(task.strata, return_inverse=True)[1].reshape(-1)
    by_stratum = order[np.argsort(strata[order], kind="stable")]
    sizes = np.bincount(strata)
    rank = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    half = np.empty(len(strata), np.int64)
    half[by_stratum] = (rank + strata[by_stratum]) % HALVES
    counts = np.stack([np.bincount(strata[half == h], minlength=len(sizes)) for h in range(HALVES)])
    factors = (sizes / np.maximum(counts, 1))[:, strata] * (half == np.arange(HALVES)[:, None])
    return np.asarray(factors @ task.influences)


def winner_interval(pool: CandidatePool, errors: Floats, winner: int, level: float) -> Interval:
    """The interval of the winner's true score: its lower side is simultaneous over all k scores, its upper side that of one.

    Choosing can make a score too high, never too low.  Both sides are those of the checkpoint's own interval, the lower one at
    the level at which all k intervals hold together.
    """
    if len(pool.scores) == 1:
        return pool.own_interval(winner, level)
    largest = np.max(errors / errors.std(axis=0), axis=1)
    simultaneous = float(special.ndtr(np.quantile(largest, 0.5 + level / 2)))
    return Interval(pool.own_interval(winner, max(level, 2 * simultaneous - 1)).low, pool.own_interval(winner, level).high)


def possible_best(scores: Floats, errors: Floats, level: float) -> list[int]:
    """Indices of the candidates that no other is shown to beat: Hsu's (1984) multiple comparisons with the best.

    Candidate i stays unless some j leads it by more than i's critical value times the standard error of their difference.  The
    critical value is the `level` quantile of the largest standardised difference to i.  The true best stays with probability
    `level`.
    """
    candidates = []
    if len(scores) == 1:
        return [0]
    for i in range(len(scores)):
        gaps = np.delete(errors - errors[:, [i]], i, axis=1)
        sd = gaps.std(axis=0)
        leads = np.delete(scores, i) - scores[i]
        critical = np.quantile(np.max(gaps / sd, axis=1), level)
        if not (leads > critical * sd).any():
            candidates.append(i)
    return candidates
