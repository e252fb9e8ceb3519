"""Estimates before any verdict: one for each checkpoint and task, then for skills and the average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.comparison.alignment import MeasuredScore, TaskDifference, TaskPanel
from harness.comparison.load import LoadedResults
from harness.comparison.metrics import measure_metrics
from harness.comparison.result import ComparisonSettings, Level, MetricValue
from harness.comparison.sample_table import SampleTable
from harness.statistics import mcnemar, noise, power, sign_flip_test, weighted_means
from harness.statistics.aggregates import Interval
from harness.statistics.estimate import critical_value
from harness.statistics.weighted_means import Component, NullSums

NO_SCORE = MeasuredScore(0, 0.0, Interval(0.0, 1.0), Interval(0.0, 1.0))


@dataclass(frozen=True)
class ChangeEstimate:
    """A candidate's difference to the baseline, with all that testing it needs.  Units: 0..1."""

    component: Component
    p_value: sign_flip_test.PValue
    detectable: float  # the smallest true difference that these data detect 4 times in 5
    pairs: int
    missing: int
    flips: tuple[int, int] | None = None  # lost, gained
    noise: float | None = None  # share of items whose score changes when they are answered again
    is_mcnemar: bool = False  # the p-value is exact McNemar's, otherwise that of sign flips


@dataclass(frozen=True)
class Estimate:
    """One checkpoint on one task, skill, or on average.  Units: 0..1."""

    checkpoint: str
    level: Level
    name: str
    skill: str
    own: MeasuredScore
    health: Mapping[str, int]
    tokens: float = float("nan")  # mean length of a response
    reasons: Mapping[str, int] = field(default_factory=dict)
    change: ChangeEstimate | None = None  # None for the baseline
    metrics: tuple[MetricValue, ...] = ()


def estimate_task(results: LoadedResults, task: str, settings: ComparisonSettings, number: int) -> list[Estimate]:
    """The baseline and every candidate on one task; `number` gives the task its own random stream for the sign flips."""
    columns = results.cells[results.baseline, task].columns()
    panel = TaskPanel(results.tasks[task], columns)
    estimates = [estimate_checkpoint(results.baseline, panel, columns, settings.level)]
    pairs: list[TaskDifference] = []
    for name, cell in results.candidates(task):
        columns = cell.columns()  # one at a time: the samples of all checkpoints may not fit in memory
        estimates.append(estimate_checkpoint(name, panel, columns, settings.level))
        rates = results.noise_rates(name, task)
        pairs.append(add_noise(panel.compare(columns, settings.level), rates, settings.level))
    changes = estimate_changes(pairs, settings, number)
    return estimates[:1] + [replace(e, change=c) for e, c in zip(estimates[1:], changes, strict=True)]


def estimate_checkpoint(name: str, panel: TaskPanel, columns: SampleTable, level: float) -> Estimate:
    """A checkpoint's own score, metrics and health on a task, without a difference."""
    task = panel.task
    own = panel.measure(columns, level)
    metrics, health, reasons = measure_metrics(panel, columns, level), columns.health, columns.reasons
    length = float(columns.tokens.mean()) if len(columns.tokens) else float("nan")
    return Estimate(name, "task", task.name, task.skill, own, health, length, reasons, metrics=metrics)


def add_noise(pair: TaskDifference, rates: Sequence[float], level: float) -> TaskDifference:
    """The difference with measured noise in its interval; `rates`: the measured rates of the two sides, if any."""
    delta = pair.delta
    if not rates or not delta.n:
        return pair
    rate = sum(rates) / len(rates)
    square = delta.variance * delta.n + delta.value**2  # mean squared change; for 0/1 scores the share that differs
    extra = noise.noise_variance(rate, min((delta.losses + delta.gains) / delta.n, square), delta.n)
    interval = noise.widen_interval(delta.value, delta.interval, extra, critical_value(level))
    return replace(pair, delta=replace(delta, interval=interval, variance=delta.variance + extra), noise=rate)


def estimate_changes(pairs: Sequence[TaskDifference], settings: ComparisonSettings, number: int) -> list[ChangeEstimate]:
    """The candidates' differences, each with its p-value; all candidates share the random signs."""
    if not pairs:
        return []
    contributions = np.stack([p.contributions for p in pairs], axis=1)
    nonzero = contributions[np.any(contributions != 0, axis=1)]
    sums = sign_flip_test.draw_sums(nonzero, settings.draws, (settings.seed, number))
    return [estimate_change(pair, sums[i], settings.level) for i, pair in enumerate(pairs)]


def estimate_change(pair: TaskDifference, sums: NullSums, level: float) -> ChangeEstimate:
    """One difference with its p-value: exact McNemar for independent 0/1 scores, sign flips of clusters otherwise."""
    delta = pair.delta
    component = Component(delta.value, delta.interval, pair.contributions[pair.contributions != 0], sums)
    losses, gains = delta.losses, delta.gains
    if delta.is_plain:
        p_value = sign_flip_test.PValue(mcnemar.exact_p(losses, gains))
        detectable = power.detectable_difference(delta.n, max(losses + gains, 1) / delta.n, level=level)
    else:
        p_value = component.test()
        detectable = power.detectable_from_error(float(np.sqrt(delta.variance)), delta.freedom, level=level)
    return ChangeEstimate(component, p_value, detectable, delta.n, pair.missing, (losses, gains), pair.noise, delta.is_plain)


def estimate_skills(
    name: str, tasks: Mapping[str, Estimate], skills: Mapping[str, Sequence[str]], level: float
) -> list[Estimate]:
    """A checkpoint's skills (unweighted means of tasks) and its average over skills, wherever no task is missing."""
    estimates = []
    for skill, names in skills.items():
        if all(n in tasks for n in names):
            empty = Estimate(name, "skill", skill, skill, NO_SCORE, {})
            estimates.append(mean_estimate(empty, [tasks[n] for n in names], level))
    if len(estimates) == len(skills):
        estimates.append(mean_estimate(Estimate(name, "average", "average", "", NO_SCORE, {}), estimates, level))
    return estimates


def mean_estimate(empty: Estimate, members: Sequence[Estimate], level: float) -> Estimate:
    """`empty` with the unweighted mean of its members."""
    weights = [1 / len(members)] * len(members)
    score, interval = weighted_means.weighted_mean([m.own.score for m in members], [m.own.interval for m in members], weights)
    interval = Interval(max(0.0, interval.low), min(1.0, interval.high))
    bounds = Interval(*(float(np.mean([getattr(m.own.bounds, side) for m in members])) for side in ("low", "high")))
    own = MeasuredScore(sum(m.own.n for m in members), score, interval, bounds)
    health, reasons = Counter[str](), Counter[str]()
    for member in members:
        health.update(member.health)
        reasons.update(member.reasons)
    length = float(np.mean([m.tokens for m in members]))
    changes = [m.change for m in members if m.change]
    change = mean_change(changes, weights, level) if changes else None
    return replace(empty, own=own, health=dict(health), tokens=length, reasons=dict(reasons), change=change)


def mean_change(members: Sequence[ChangeEstimate], weights: Sequence[float], level: float) -> ChangeEstimate:
    """The weighted difference of independent tasks (or skills), tested by sign flips of all their clusters."""
    if len(members) == 1:
        return replace(members[0], flips=None, noise=None)
    component = weighted_means.weighted_difference([m.component for m in members], weights)
    detectable = power.detectable_from_error(component.half_width / critical_value(level), level=level)
    pairs, missing = sum(m.pairs for m in members), sum(m.missing for m in members)
    return ChangeEstimate(component, component.test(), detectable, pairs, missing)
