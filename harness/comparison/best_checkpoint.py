"""The best of the candidates on each skill and on average, with the correction for having chosen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.comparison.estimates import Estimate
from harness.comparison.result import Best, ComparisonSettings, Level
from harness.statistics import best_of_many
from harness.statistics.aggregates import Floats

POINTS = 100


def best_candidates(
    findings: Sequence[Estimate], skills: Mapping[str, Sequence[str]], settings: ComparisonSettings
) -> tuple[Best, ...]:
    """For the average and each skill that two candidates or more have: the highest, and what that is worth."""
    winners = []
    weights = {("average", "average"): {t: 1 / (len(skills) * len(ts)) for ts in skills.values() for t in ts}}
    weights |= {("skill", name): {t: 1 / len(ts) for t in ts} for name, ts in skills.items()}
    for (level, name), weight in weights.items():
        scores = {f.checkpoint: f.own.score for f in findings if (f.level, f.name) == (level, name) and f.change}
        known_scores = {who: score for who, score in scores.items() if not np.isnan(score)}
        if len(known_scores) > 1:
            pool = best_of_many.CandidatePool(
                list(known_scores), np.array(list(known_scores.values())), task_influences(findings, list(known_scores), weight)
            )
            winners.append(in_points("skill" if level == "skill" else "average", name, pool, settings))
    return tuple(winners)


def task_influences(findings: Sequence[Estimate], names: Sequence[str], weight: Mapping[str, float]) -> list[Floats]:
    """For each task [clusters, candidates]: the influences on the weighted sum.  A cluster that one lacks does not move it."""
    matrices = []
    for task, share in weight.items():
        influences = {f.checkpoint: f.own.influences for f in findings if f.level == "task" and f.name == task}
        longest = max(len(influences[n]) for n in names)
        matrix = np.stack([np.pad(influences[n], (0, longest - len(influences[n]))) for n in names], axis=1)
        matrices.append(share * matrix)
    return matrices


def in_points(level: Level, name: str, pool: best_of_many.CandidatePool, settings: ComparisonSettings) -> Best:
    """A choice in points."""
    choice = best_of_many.select_best(pool, settings.level, settings.seed)
    return Best(
        level=level,
        name=name,
        checkpoint=choice.best,
        score=POINTS * choice.score,
        corrected=POINTS * choice.corrected_score,
        low=POINTS * choice.interval.low,
        high=POINTS * choice.interval.high,
        probability={n: float(p) for n, p in zip(pool.names, choice.probability, strict=True) if p > 0},
        equals=choice.equals,
    )
