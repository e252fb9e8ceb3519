"""The best of the candidates on each skill and on average, with the correction for having chosen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.comparison.estimates import Finding
from harness.comparison.result import Best, Level, Settings
from harness.statistics import best_of_many
from harness.statistics.estimate import Floats

POINTS = 100


def best(findings: Sequence[Finding], skills: Mapping[str, Sequence[str]], settings: Settings) -> tuple[Best, ...]:
    """For the average and each skill that two candidates or more have: the highest, and what that is worth."""
    found = []
    weights = {("average", "average"): {t: 1 / (len(skills) * len(ts)) for ts in skills.values() for t in ts}}
    weights |= {("skill", name): {t: 1 / len(ts) for t in ts} for name, ts in skills.items()}
    for (level, name), weight in weights.items():
        rows = {f.checkpoint: f.own.score for f in findings if (f.level, f.name) == (level, name) and f.change}
        usable = {who: score for who, score in rows.items() if not np.isnan(score)}
        if len(usable) > 1:
            pool = best_of_many.Pool(list(usable), np.array(list(usable.values())), parts(findings, list(usable), weight))
            found.append(tell("skill" if level == "skill" else "average", name, pool, settings))
    return tuple(found)


def parts(findings: Sequence[Finding], names: Sequence[str], weight: Mapping[str, float]) -> list[Floats]:
    """For each task [clusters, candidates]: the influences on the weighted sum.  A cluster that one lacks does not move it."""
    found = []
    for task, share in weight.items():
        mine = {f.checkpoint: f.own.influences for f in findings if f.level == "task" and f.name == task}
        longest = max(len(mine[n]) for n in names)
        matrix = np.stack([np.pad(mine[n], (0, longest - len(mine[n]))) for n in names], axis=1)
        found.append(share * matrix)
    return found


def tell(level: Level, name: str, pool: best_of_many.Pool, settings: Settings) -> Best:
    """A choice in points."""
    choice = best_of_many.best(pool, settings.level, settings.seed)
    return Best(
        level=level,
        name=name,
        checkpoint=choice.best,
        score=POINTS * choice.score,
        corrected=POINTS * choice.corrected,
        low=POINTS * choice.interval.low,
        high=POINTS * choice.interval.high,
        probability={n: float(p) for n, p in zip(pool.names, choice.probability, strict=True) if p > 0},
        equals=choice.equals,
    )
