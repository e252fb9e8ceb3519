"""The best of k checkpoints: its score corrected for the choice, and the candidates that could be the best as well.

The highest of k noisy scores is too high, because the choice prefers luck as well as merit (the winner's curse).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.statistics.aggregates import Floats, Interval
from harness.statistics.estimate import Variance, bounded_estimate

FOLDS = 2
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
class CandidatePool:
    """k checkpoints with comparable scores [k]; `parts`: for each task the influences [clusters, k] on the scores.

    `shares` [parts]: the weight of each task's score, which tells what a whole cluster adds to it.  `interval_of`: a
    checkpoint's own interval at a level; without it one is made from the influences.
    """

    names: Sequence[str]
    scores: Floats
    parts: Sequence[Floats]
    shares: Sequence[float] = ()
    interval_of: Callable[[int, float], Interval] | None = None

    def cluster_weights(self) -> Floats:
        """[parts]: what a cluster adds to a score if it changes as a whole."""
        shares = self.shares or [1 / len(self.parts)] * len(self.parts)
        return np.array([share / max(len(part), 1) for share, part in zip(shares, self.parts, strict=True)])

    def own_interval(self, place: int, level: float) -> Interval:
        if self.interval_of:
            return self.interval_of(place, level)
        clusters = 1 / float(np.sum([len(p) * w**2 for p, w in zip(self.parts, self.cluster_weights(), strict=True)]))
        variance = sum(float(np.sum(p[:, place] ** 2)) * len(p) / max(len(p) - 1, 1) for p in self.parts)
        return bounded_estimate(float(self.scores[place]), Variance(variance, max(clusters - 1, 1.0)), clusters, level).interval


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
    for part in pool.parts:
        clusters = len(part)
        scale, influence = np.sqrt(clusters / max(clusters - 1, 1)), part.astype(np.float32)
        for start in range(0, DRAWS, 500):
            multipliers = rng.standard_normal((min(500, DRAWS - start), clusters), np.float32)
            errors[start : start + 500] += scale * multipliers @ influence
    pseudo_error = float(np.sqrt(np.sum(pool.cluster_weights() ** 2)))
    return errors + pseudo_error * rng.standard_normal(errors.shape)


def cross_fit_score(pool: CandidatePool, seed: int = 0, repeats: int = 50) -> float:
    """The mean score on one half of the clusters of the candidate that the other half chooses, over random divisions.

    It is unbiased for the choice that half of the items makes, whatever the true scores; a bootstrap of the maximum is not,
    where several are equal.  It is a little too low where all items choose better than half of them.
    """
    # Two folds: with more, the candidate that leads by luck leads in every fold, which doubles the error.  The score of a fold
    # is made from influences: score + (clusters / clusters in the fold) * their sum.
    rng = np.random.default_rng(seed)
    fold_scores = []
    for _ in range(repeats):
        inside, outside = np.zeros((2, FOLDS, len(pool.scores)))
        for part in pool.parts:
            fold = rng.permutation(len(part)) % FOLDS
            sums = np.stack([part[fold == f].sum(axis=0) for f in range(FOLDS)])
            share = np.bincount(fold, minlength=FOLDS)[:, None] / len(part)
            inside += sums / np.maximum(share, 1 / len(part))
            outside += (sums.sum(axis=0) - sums) / np.maximum(1 - share, 1 / len(part))
        picks = np.argmax(pool.scores + outside, axis=1)
        fold_scores.append(np.mean([pool.scores[k] + inside[f, k] for f, k in enumerate(picks)]))
    return float(np.mean(fold_scores))


def winner_interval(pool: CandidatePool, errors: Floats, winner: int, level: float) -> Interval:
    """The interval of the winner's true score: its lower side is simultaneous over all k scores, its upper side that of one.

    Choosing can make a score too high, never too low.  Both sides are those of the checkpoint's own interval, the lower one at
    the level at which all k intervals hold together.
    """
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
    for i in range(len(scores)):
        gaps = np.delete(errors - errors[:, [i]], i, axis=1)
        sd = gaps.std(axis=0)
        leads = np.delete(scores, i) - scores[i]
        critical = np.quantile(np.max(gaps / sd, axis=1), level)
        if not (leads > critical * sd).any():
            candidates.append(i)
    return candidates
