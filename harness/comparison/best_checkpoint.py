"""The best candidate on each skill and on average, with its score corrected for the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.load import weights_by_level
from harness.comparison.result import Best, ComparisonSettings, Level
from harness.statistics import best_of_many
from harness.statistics.aggregates import Floats

if TYPE_CHECKING:
    from harness.comparison.estimates import Estimate

POINTS = 100


def best_candidates(
    estimates: Sequence[Estimate], skills: Mapping[str, Sequence[str]], settings: ComparisonSettings
) -> tuple[Best, ...]:
    """The best candidate on average, then on each skill, wherever at least two candidates have a score."""
    winners = []
    *skill_weights, average = weights_by_level(skills, {task: None for tasks in skills.values() for task in tasks})
    for level, name, weight in [average, *(entry for entry in skill_weights if entry[0] == "skill")]:
        scores = {e.checkpoint: e.own.score for e in estimates if (e.level, e.name) == (level, name) and e.change}
        known_scores = {who: score for who, score in scores.items() if not np.isnan(score)}
        if len(known_scores) > 1:
            names, influences = list(known_scores), task_influences(estimates, list(known_scores), weight)
            pool = best_of_many.CandidatePool(names, np.array(list(known_scores.values())), influences)
            winners.append(best_in_points(level, name, pool, settings))
    return tuple(winners)


def task_influences(estimates: Sequence[Estimate], names: Sequence[str], weight: Mapping[str, float]) -> list[Floats]:
    """For each task [clusters, candidates]: the influences on the weighted sum; 0 for clusters that a candidate lacks."""
    matrices = []
    for task, share in weight.items():
        influences = {e.checkpoint: e.own.influences for e in estimates if e.level == "task" and e.name == task}
        longest = max(len(influences[n]) for n in names)
        columns = [np.pad(influences[n], (0, longest - len(influences[n]))) for n in names]
        matrices.append(share * np.stack(columns, axis=1))
    return matrices


def best_in_points(level: Level, name: str, pool: best_of_many.CandidatePool, settings: ComparisonSettings) -> Best:
    """The selection from a pool, in points."""
    choice = best_of_many.select_best(pool, settings.level, settings.seed)
    return Best(
        level=level, name=name, checkpoint=choice.best, equals=choice.equals,
        score=POINTS * choice.score, corrected=POINTS * choice.corrected_score,
        low=POINTS * choice.interval.low, high=POINTS * choice.interval.high,
        probability={n: float(p) for n, p in zip(pool.names, choice.probability, strict=True) if p > 0},
    )  # fmt: skip
