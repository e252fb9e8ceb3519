"""The best of k checkpoints: what its score is once luck in choosing is taken out, and which others could be the best as well.

The highest of k noisy scores is too high: choosing it chooses its luck along with its merit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.statistics.estimate import Floats, Interval, quantile

FOLDS = 2
DRAWS = 2_000


@dataclass(frozen=True)
class Choice:
    """The checkpoint with the highest score.  Scores in 0..1."""

    best: str
    score: float  # as seen
    corrected: float  # what is chosen so scores on items that had no part in choosing it
    interval: Interval  # of the chosen one's true score, whichever it is
    probability: Floats  # [k]: how often each would come out highest, were the items drawn again
    equals: tuple[str, ...]  # all that cannot be told from the best; holds the true best with probability `level`


@dataclass(frozen=True)
class Pool:
    """k checkpoints on one footing: scores [k], and for each independent part (task) the influences [clusters, k] of it."""

    names: Sequence[str]
    scores: Floats
    parts: Sequence[Floats]


def best(pool: Pool, level: float = 0.95, seed: int = 0) -> Choice:
    chosen = int(np.argmax(pool.scores))
    noise = drawn(pool.parts, seed)
    again = np.argmax(pool.scores + noise, axis=1)
    corrected, span = cross_fitted(pool, seed), around(pool, noise, chosen, level)
    return Choice(
        best=pool.names[chosen],
        score=float(pool.scores[chosen]),
        corrected=corrected,
        interval=Interval(min(span.low, corrected), max(span.high, corrected)),
        probability=np.bincount(again, minlength=len(pool.names)) / len(noise),
        equals=tuple(pool.names[i] for i in contenders(pool.scores, noise, level)),
    )


def drawn(parts: Sequence[Floats], seed: int = 0) -> Floats:
    """[draws, k]: errors of the k scores as they could have been, by the wild bootstrap with normal multipliers (Mammen 1993).

    Influences of one cluster are multiplied alike for all checkpoints, which keeps how they go together.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((DRAWS, parts[0].shape[1]))
    for part in parts:
        clusters = len(part)
        scale, single = np.sqrt(clusters / max(clusters - 1, 1)), part.astype(np.float32)
        for start in range(0, DRAWS, 500):
            total[start : start + 500] += scale * rng.standard_normal((min(500, DRAWS - start), clusters), np.float32) @ single
    return total


def cross_fitted(pool: Pool, seed: int = 0, repeats: int = 50) -> float:
    """The mean score on one half of the clusters of what the other half chooses, over `repeats` random divisions.

    Unbiased for what half of the items would choose, whatever the true scores (a bootstrap of the maximum is not, when
    several are equal); a little too low where the whole chooses better than a half.  More folds would have less of that,
    but twice the error: the one that leads by luck then leads in every fold.  Scores of a fold are made from influences:
    score + clusters / clusters in the fold * their sum.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        inside = np.zeros((FOLDS, len(pool.scores)))
        outside = np.zeros((FOLDS, len(pool.scores)))
        for part in pool.parts:
            fold = rng.permutation(len(part)) % FOLDS
            sums = np.stack([part[fold == f].sum(axis=0) for f in range(FOLDS)])
            share = np.bincount(fold, minlength=FOLDS)[:, None] / len(part)
            inside += sums / np.maximum(share, 1 / len(part))
            outside += (sums.sum(axis=0) - sums) / (1 - share)
        picks = np.argmax(pool.scores + outside, axis=1)
        found.append(np.mean([pool.scores[k] + inside[f, k] for f, k in enumerate(picks)]))
    return float(np.mean(found))


def around(pool: Pool, noise: Floats, chosen: int, level: float) -> Interval:
    """Downwards as far as all k scores together could be too high, upwards as for one score: choosing only ever flatters."""
    error = noise.std(axis=0)
    usable = error > 0
    if not usable.any():
        return Interval(float(pool.scores[chosen]), float(pool.scores[chosen]))
    worst = np.max(noise[:, usable] / error[usable], axis=1)
    down = float(np.quantile(worst, 0.5 + level / 2)) * error[chosen]
    up = quantile(level) * error[chosen]
    return Interval(max(0.0, float(pool.scores[chosen] - down)), min(1.0, float(pool.scores[chosen] + up)))


def contenders(scores: Floats, noise: Floats, level: float) -> list[int]:
    """All that no other is shown to beat: Hsu's (1984) comparison with the best, with the quantile drawn for each in its turn.

    i stays unless some j is above it by more than its own critical value times the standard error of their difference; the
    critical value is that of the largest of all differences to i.  The true best is kept with probability `level`.
    """
    kept = []
    for i in range(len(scores)):
        gaps = np.delete(noise - noise[:, [i]], i, axis=1)
        error = gaps.std(axis=0)
        seen = np.delete(scores, i) - scores[i]
        moving = error > 0
        if not moving.any():
            beaten = bool((seen > 0).any())
        else:
            critical = np.quantile(np.max(gaps[:, moving] / error[moving], axis=1), level)
            beaten = bool((seen > critical * error).any())
        if not beaten:
            kept.append(i)
    return kept
