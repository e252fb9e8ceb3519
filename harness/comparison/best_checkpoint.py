"""The best candidate on each skill and on average, with its score corrected for the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.load import weights_by_level
from harness.comparison.result import Best, ComparisonSettings, Level
from harness.statistics import best_of_many, weighted_means
from harness.statistics.aggregates import Interval
from harness.statistics.best_of_many import PoolTask
from harness.statistics.decision import MAX_UNSCORED

if TYPE_CHECKING:
    from harness.comparison.estimates import Estimate
    from harness.comparison.load import LoadedResults

POINTS = 100


def best_candidates(estimates: Sequence[Estimate], results: LoadedResults, settings: ComparisonSettings) -> tuple[Best, ...]:
    """The best candidate on average, then on each skill, wherever at least two candidates have a score.

    A candidate that was asked fewer questions than another is left out: those that it lacks may be the hard ones.
    """
    winners = []
    *skill_weights, average = weights_by_level(results.skills(), dict.fromkeys(results.averaged_tasks()), results.rule)
    for level, name, weight in [average, *(entry for entry in skill_weights if entry[0] == "skill")]:
        scores = {e.checkpoint: e.own.score for e in estimates if (e.level, e.name) == (level, name) and e.change}
        whole = fully_scored(estimates, list(scores), weight)
        known_scores = {who: score for who, score in scores.items() if who in whole and not np.isnan(score)}
        if len(known_scores) > 1:
            names, tasks = list(known_scores), pool_tasks(estimates, list(known_scores), weight)
            intervals = OwnIntervals(names, [e for e in estimates if e.checkpoint in known_scores], (level, name), weight)
            pool = best_of_many.CandidatePool(names, np.array(list(known_scores.values())), tasks, intervals.at_level)
            left_out = tuple(who for who, score in scores.items() if who not in known_scores and not np.isnan(score))
            winners.append(replace(best_in_points(level, name, pool, settings), left_out=left_out))
    return tuple(winners)


def fully_scored(estimates: Sequence[Estimate], names: Sequence[str], weight: Mapping[str, float]) -> set[str]:
    """The candidates with a score on nearly as many items (1 - MAX_UNSCORED) of each task as the one that has most."""
    whole = set(names)
    for task in weight:
        counts = {e.checkpoint: e.own.n for e in estimates if (e.level, e.name) == ("task", task)}
        most = max((counts.get(name, 0) for name in names), default=0)
        whole -= {name for name in names if counts.get(name, 0) < (1 - MAX_UNSCORED) * most}
    return whole


@dataclass(frozen=True)
class OwnIntervals:
    """The candidates' own intervals on a skill or on average, at any level; `weight`: of each task."""

    names: Sequence[str]
    estimates: Sequence[Estimate]
    where: tuple[Level, str]
    weight: Mapping[str, float]

    def at_level(self, place: int, level: float) -> Interval:
        """Never within the interval that the table shows."""
        mine = [e for e in self.estimates if e.checkpoint == self.names[place]]
        table_interval = next(e.own.interval for e in mine if (e.level, e.name) == self.where)
        members = [e.own for task in self.weight for e in mine if (e.level, e.name) == ("task", task)]
        rows = [m.rows for m in members if m.rows]
        _, interval = weighted_means.weighted_mean(
            [m.score for m in members],
            [m.estimate.at_level(level).interval for m in members if m.estimate],
            list(self.weight.values()),
            weighted_means.correlation_matrix(rows) if rows else None,
        )
        return Interval(max(0.0, min(table_interval.low, interval.low)), min(1.0, max(table_interval.high, interval.high)))


def pool_tasks(estimates: Sequence[Estimate], names: Sequence[str], weight: Mapping[str, float]) -> list[PoolTask]:
    """The tasks of a weighted sum; the influences of clusters that a candidate lacks are 0."""
    tasks = []
    for place, (task, share) in enumerate(weight.items()):
        by_name = {e.checkpoint: e.own for e in estimates if e.level == "task" and e.name == task}
        own = [by_name[n] for n in names]
        longest = max(len(score.influences) for score in own)
        influences = np.stack([np.pad(score.influences, (0, longest - len(score.influences))) for score in own], axis=1)
        layouts = [score.layout for score in own if score.layout]
        units = next((score.rows.units for score in own if score.rows), None)  # where any tasks share rows
        if units is not None:  # clusters that the baseline lacks have no number: no other task has theirs
            units = np.concatenate([units, -1 - place - len(weight) * np.arange(longest - len(units))])
        tasks.append(PoolTask.of_layouts(share * influences, layouts, share, units))
    return tasks


def best_in_points(level: Level, name: str, pool: best_of_many.CandidatePool, settings: ComparisonSettings) -> Best:
    """The selection from a pool, in points."""
    choice = best_of_many.select_best(pool, settings.level, settings.seed)
    score_of = dict(zip(pool.names, pool.scores.tolist(), strict=True))
    nearest_first = sorted(choice.equals, key=lambda who: -score_of[who])
    return Best(
        level=level, name=name, checkpoint=choice.best, equals=tuple(nearest_first),
        score=POINTS * choice.score, corrected=POINTS * choice.corrected_score,
        low=POINTS * choice.interval.low, high=POINTS * choice.interval.high,
        probability={n: float(p) for n, p in zip(pool.names, choice.probability, strict=True) if p > 0},
    )  # fmt: skip
