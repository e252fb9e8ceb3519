"""The cost of the gains: KL, length, refusal in both directions, and the Pareto front of the skills."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.grouping import group_by
from harness.statistics import pareto, weighted_means
from harness.statistics.aggregates import Interval

if TYPE_CHECKING:
    from harness.comparison.result import Comparison, MetricValue, Row
    from harness.comparison.training_runs import TrainingRun

HARMLESS, HARMFUL = "over_refusal", "unsafe_compliance"  # metrics of a safety task that has both


@dataclass(frozen=True)
class ValueInterval:
    """A number with its interval, in points."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RefusalRates:
    """The share of refused prompts, in %: of harmful ones, and of harmless ones that look similar."""

    task: str
    harmful: ValueInterval
    harmless: ValueInterval


@dataclass(frozen=True)
class CheckpointCost:
    """One checkpoint.  `kl`, `flops` and `seconds` are those that its run logged at its step."""

    checkpoint: str
    run: str
    step: int | None
    average: Row | None
    kl: float | None
    length: float  # mean tokens of an answer in words
    length_change: float  # % above the baseline's on the same tasks
    refusal: RefusalRates | None
    flops: float | None = None  # of training, to this step
    seconds: float | None = None


def checkpoint_costs(comparison: Comparison) -> list[CheckpointCost]:
    """Every checkpoint, the baseline first."""
    run_of = {name: run for run in comparison.runs for name in run.steps}
    rows = group_by(comparison.rows, lambda row: row.checkpoint)
    costs = []
    for name in comparison.checkpoints:
        own_rows = rows.get(name, [])
        run = run_of.get(name)
        step = run.steps[name] if run else None
        kl, flops, seconds = (logged_value(run, quantity, step) for quantity in ("KL", "FLOPs", "seconds"))
        average = next((r for r in own_rows if r.level == "average"), None)
        lengths = mean_length(own_rows, rows[comparison.baseline])
        costs.append(
            CheckpointCost(name, run.name if run else "", step, average, kl, *lengths, refusal_rates(own_rows), flops, seconds)
        )
    return costs


def logged_value(run: TrainingRun | None, quantity: str, step: int | None) -> float | None:
    """The last value that a run's trainer logged up to a step; None where there is none."""
    return run.curves[quantity].at(step) if run and step is not None and quantity in run.curves else None


def mean_length(mine: Sequence[Row], base: Sequence[Row]) -> tuple[float, float]:
    """Mean tokens of an answer over the tasks that both answer in words, and its change from the baseline in %."""
    baseline_tokens = {r.name: r.tokens for r in base if r.level == "task" and r.tokens > 0}
    own_tokens = {r.name: r.tokens for r in mine if r.level == "task" and not math.isnan(r.tokens)}
    both = [(tokens, baseline_tokens[task]) for task, tokens in own_tokens.items() if task in baseline_tokens]
    if not both:
        return math.nan, math.nan
    now, before = (float(np.mean(side)) for side in zip(*both, strict=True))
    return now, 100 * (now / before - 1)


def refusal_rates(mine: Sequence[Row]) -> RefusalRates | None:
    """Refusal in both directions, from the first safety task that measures both."""
    for row in mine:
        metrics = {m.name: m for m in row.metrics}
        if row.level == "task" and HARMLESS in metrics and HARMFUL in metrics:
            compliance, refusal = clip_share(metrics[HARMFUL]), clip_share(metrics[HARMLESS])
            # Of harmful prompts the metric is the share that is complied with.
            harmful = ValueInterval(100 - compliance.value, 100 - compliance.high, 100 - compliance.low)
            return RefusalRates(row.name, harmful, refusal)
    return None


def clip_share(metric: MetricValue) -> ValueInterval:
    """A share and its interval, cut to 0..100."""
    return ValueInterval(metric.value, max(0.0, metric.low), min(100.0, metric.high))


@dataclass(frozen=True)
class SkillFront:
    """Each checkpoint's score on the target skill and its mean on the others, with the Pareto front of the two.

    The others weigh as in the average.
    """

    target: str
    scores: Mapping[str, tuple[ValueInterval, ValueInterval]]
    front: frozenset[str]


def skill_fronts(comparison: Comparison) -> list[SkillFront]:
    """A front for each skill as the target, that of the largest gain first; empty where there is one skill only."""
    skills = list(dict.fromkeys(r.name for r in comparison.at("skill")))
    rows = group_by(comparison.at("skill"), lambda row: row.checkpoint)
    complete = {name: {row.name: row for row in mine} for name, mine in rows.items() if len(mine) == len(skills)}
    if len(skills) < 2 or not complete:
        return []
    fronts = (skill_front(target, complete, comparison.skill_weights) for target in skills)
    return sorted(fronts, key=lambda front: -largest_gain(front.target, comparison))


def skill_front(target: str, rows: Mapping[str, Mapping[str, Row]], skill_weights: Mapping[str, float]) -> SkillFront:
    scores = {}
    for name, mine in rows.items():
        others = [r for skill, r in mine.items() if skill != target]
        own_weights = [skill_weights.get(r.name, 1.0) for r in others]
        weights = [weight / sum(own_weights) for weight in own_weights]
        intervals = [Interval(r.score_low, r.score_high) for r in others]
        value, interval = weighted_means.weighted_mean([r.score for r in others], intervals, weights)
        goal = ValueInterval(mine[target].score, mine[target].score_low, mine[target].score_high)
        scores[name] = goal, ValueInterval(value, max(0.0, interval.low), min(100.0, interval.high))
    is_on_front = pareto.pareto_front(np.array([[x.value, y.value] for x, y in scores.values()]))
    return SkillFront(target, scores, frozenset(name for name, it in zip(scores, is_on_front, strict=True) if it))


def largest_gain(skill: str, comparison: Comparison) -> float:
    """The largest difference of any candidate on a skill, in points."""
    deltas = [r.difference.delta for r in comparison.at("skill") if r.name == skill and r.difference]
    return max((d for d in deltas if not math.isnan(d)), default=-math.inf)
