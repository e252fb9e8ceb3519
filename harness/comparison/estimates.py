"""Estimates before any verdict: one for each checkpoint and task, then for skills and the average."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison import termination
from harness.comparison.alignment import GradedChange, MeasuredScore, TaskDifference, TaskPanel
from harness.comparison.draw_metrics import metrics_of_draws
from harness.comparison.judged_scores import widen_difference, widen_score
from harness.comparison.metrics import is_score, measure_metrics
from harness.comparison.sample_table import SampleTable
from harness.statistics import mcnemar, noise, power, sign_flip_test, weighted_means
from harness.statistics.aggregates import Interval, Ints, critical_value
from harness.statistics.weighted_means import Component, NullSums, RowSums

if TYPE_CHECKING:
    from harness.comparison.load import LoadedResults
    from harness.comparison.result import ComparisonSettings, Level, MetricValue
    from harness.comparison.shared_rows import RowNumbers
    from harness.mean_rules import MeanRule

POINTS = 100

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
    graded: GradedChange | None = None  # where a judge with measured errors graded
    missing_share: float = 0.0  # as in Difference


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
    termination: tuple[MetricValue, ...] = ()


MeasuredTask = tuple[list[Estimate], list[TaskDifference]]  # the baseline and candidates; the candidates' differences


def estimate_tasks(results: LoadedResults, settings: ComparisonSettings, rows: RowNumbers) -> list[Estimate]:
    """Every checkpoint on every task."""
    places = list(results.tasks)
    by_task: dict[str, list[Estimate]] = {}
    for group in rows.groups:
        # The number of its first task gives a group its own random stream for the sign flips.
        measurements = {task: measure_task(results, task, settings.level, rows) for task in group}
        changes = estimate_changes(measurements, rows, settings, places.index(group[0]))
        for task, (estimates, _) in measurements.items():
            by_task[task] = [estimates[0], *(replace(e, change=c) for e, c in zip(estimates[1:], changes[task], strict=True))]
    return [estimate for task in places for estimate in by_task[task]]


def measure_task(results: LoadedResults, task: str, level: float, rows: RowNumbers) -> MeasuredTask:
    """The baseline and every candidate on one task, and the candidates' differences."""
    columns = results.cells[results.baseline, task].columns()
    panel = TaskPanel(results.tasks[task], columns)
    numbers = rows.numbers[task] if rows.any_shared else None
    estimates = [estimate_checkpoint(results.baseline, panel, columns, level, numbers)]
    pairs: list[TaskDifference] = []
    for name, cell in results.candidates(task):
        columns = cell.columns()  # one at a time: the samples of all checkpoints may not fit in memory
        estimate, pair = estimate_checkpoint(name, panel, columns, level, numbers), panel.compare(columns, level)
        noisy_pair = add_noise(pair, results.noise_rates(name, task), level)
        pairs.append(widen_difference(noisy_pair, results.tasks[task], level))
        headline = {m.name for m in panel.task.metrics if is_score(m, panel.baseline) and is_score(m, columns)}
        metrics = (follow_headline(m, pair.delta.interval, pairs[-1].delta.interval, headline) for m in estimate.metrics)
        estimates.append(replace(estimate, metrics=tuple(metrics)))
    return estimates, pairs


def follow_headline(metric: MetricValue, before: Interval, after: Interval, headline: Collection[str]) -> MetricValue:
    """A metric that is the score itself bears the interval of the score's difference, with the noise that widened it.

    `headline`: the metrics whose values are the scores.  Where a task weighs its groups, their plain mean is another number.
    """
    is_mean = (metric.delta_low, metric.delta_high) == (POINTS * before.low, POINTS * before.high)
    is_headline = is_mean and metric.name in headline
    return replace(metric, delta_low=POINTS * after.low, delta_high=POINTS * after.high) if is_headline else metric


def estimate_checkpoint(name: str, panel: TaskPanel, columns: SampleTable, level: float, numbers: Ints | None) -> Estimate:
    """A checkpoint's own score, metrics and health on a task, without a difference; `numbers` of rows that tasks share."""
    task = panel.task
    own = widen_score(panel.measure(columns, level), panel.record, level)
    if numbers is not None:
        own = replace(own, rows=RowSums(numbers, own.influences[: len(numbers)]))
    by_problem, problems, of_draws = metrics_of_draws(panel, columns)
    metrics = (*measure_metrics(panel, columns, level), *measure_metrics(by_problem, problems, level, of_draws))
    health, reasons = columns.health, columns.reasons
    ends = termination.in_units(measure_metrics(panel, columns, level, termination.METRICS))
    length = float(columns.tokens.mean()) if len(columns.tokens) else float("nan")
    return Estimate(name, "task", task.name, task.skill, own, health, length, reasons, metrics=metrics, termination=ends)


def add_noise(pair: TaskDifference, rates: Sequence[float], level: float) -> TaskDifference:
    """The difference with measured noise in its interval; `rates`: the measured rates of the two sides, if any."""
    delta = pair.delta
    if not rates or not delta.n:
        return pair
    rate = sum(rates) / len(rates)
    square = delta.variance * delta.n + delta.value**2  # mean squared change; for 0/1 scores the share that differs
    extra = noise.noise_variance(rate, min((delta.losses + delta.gains) / delta.n, square), delta.n)
    interval = noise.widen_interval(delta.value, delta.interval, extra, critical_value(level))
    factor = float(np.sqrt(1 + extra / delta.variance)) if delta.is_plain else 1.0  # else its variance says it
    noisy_delta = replace(delta, interval=interval, variance=delta.variance + extra)
    return replace(pair, delta=noisy_delta, noise=rate, error_factor=pair.error_factor * factor)


def estimate_changes(
    measurements: Mapping[str, MeasuredTask], rows: RowNumbers, settings: ComparisonSettings, number: int
) -> dict[str, list[ChangeEstimate]]:
    """By task the candidates' differences, each with its p-value; all tasks and candidates share the signs of a row."""
    pairs = [(task, pair) for task, (_, of_task) in measurements.items() for pair in of_task]
    if not pairs:
        return {task: [] for task in measurements}
    every_row = np.unique(np.concatenate([rows.numbers[task] for task in measurements]))
    contributions = np.zeros((len(every_row), len(pairs)))
    for column, (task, pair) in enumerate(pairs):
        contributions[np.searchsorted(every_row, rows.numbers[task]), column] = pair.contributions
    nonzero = contributions[np.any(contributions != 0, axis=1)]
    sums = sign_flip_test.draw_sums(nonzero, settings.draws, (settings.seed, number))
    changes: dict[str, list[ChangeEstimate]] = {task: [] for task in measurements}
    for column, (task, pair) in enumerate(pairs):
        row_sums = RowSums(rows.numbers[task], pair.contributions)
        changes[task].append(estimate_change(pair, row_sums, sums[column], settings.level))
    return changes


def estimate_change(pair: TaskDifference, rows: RowSums, sums: NullSums, level: float) -> ChangeEstimate:
    """One difference with its p-value: exact McNemar for independent 0/1 scores, sign flips of clusters otherwise."""
    delta = pair.delta
    component = Component(delta.value, delta.interval, rows, sums)
    losses, gains = delta.losses, delta.gains
    p_value = sign_flip_test.PValue(mcnemar.exact_p(losses, gains)) if delta.is_plain else component.test()
    flips = (losses, gains)
    return ChangeEstimate(
        component, p_value, pair.detectable(level), delta.n, pair.missing, flips, pair.noise, delta.is_plain,
        pair.graded_change(level), pair.missing / max(delta.n + pair.missing, 1),
    )  # fmt: skip


def estimate_skills(
    name: str, tasks: Mapping[str, Estimate], skills: Mapping[str, Sequence[str]], rule: MeanRule, level: float
) -> list[Estimate]:
    """A checkpoint's skills (means of tasks) and its average over skills, wherever no task is missing."""
    estimates = []
    for skill, names in skills.items():
        if all(n in tasks for n in names):
            empty = Estimate(name, "skill", skill, skill, NO_SCORE, {})
            estimates.append(mean_estimate(empty, [tasks[n] for n in names], rule.task_shares(names), level))
    if estimates and len(estimates) == len(skills):
        empty = Estimate(name, "average", "average", "", NO_SCORE, {})
        estimates.append(mean_estimate(empty, estimates, rule.skill_shares(skills), level))
    return estimates


def mean_estimate(empty: Estimate, members: Sequence[Estimate], weights: Sequence[float], level: float) -> Estimate:
    """`empty` with the mean of its members; `weights`: their shares, which add up to 1."""
    own = mean_score([m.own for m in members], weights)
    health, reasons = Counter[str](), Counter[str]()
    for member in members:
        health.update(member.health)
        reasons.update(member.reasons)
    length = float(np.mean([m.tokens for m in members]))  # whatever they weigh
    changes = [m.change for m in members if m.change]
    share_rows = own.rows is not None
    change = mean_change(changes, weights, level, share_rows) if changes else None
    return replace(empty, own=own, health=dict(health), tokens=length, reasons=dict(reasons), change=change)


def mean_score(members: Sequence[MeasuredScore], weights: Sequence[float]) -> MeasuredScore:
    """The weighted mean of scores, with the covariance of those over the same rows."""
    rows = [m.rows for m in members if m.rows]
    correlations = weighted_means.correlation_matrix(rows) if rows else None
    score, interval = weighted_means.weighted_mean(
        [m.score for m in members], [m.interval for m in members], weights, correlations
    )
    interval = Interval(max(0.0, interval.low), min(1.0, interval.high))
    bounds = Interval(*(float(np.dot(weights, [getattr(m.bounds, side) for m in members])) for side in ("low", "high")))
    all_rows = weighted_means.add_rows([r.scale(w) for r, w in zip(rows, weights, strict=True)]) if rows else None
    return MeasuredScore(sum(m.n for m in members), score, interval, bounds, rows=all_rows)


def mean_change(
    members: Sequence[ChangeEstimate], weights: Sequence[float], level: float, share_rows: bool = False
) -> ChangeEstimate:
    """The weighted difference of tasks (or skills), tested by sign flips of all their rows."""
    if len(members) == 1:
        return replace(members[0], flips=None, noise=None)
    component = weighted_means.weighted_difference([m.component for m in members], weights, share_rows)
    detectable = detectable_mean(component, level)
    pairs, missing = sum(m.pairs for m in members), sum(m.missing for m in members)
    graded = None
    if any(m.graded for m in members):
        parts = [replace(m.component, interval=m.graded.interval) if m.graded else m.component for m in members]
        of_grades = weighted_means.weighted_difference(parts, weights, share_rows)
        is_decidable = all(math.isfinite(m.graded.detectable) for m in members if m.graded)
        graded = GradedChange(of_grades.interval, detectable_mean(of_grades, level) if is_decidable else math.inf)
    # A large task has the most items, and no more weight than a small one: counts alone would hide what the small one lacks.
    lacking = float(np.dot(weights, [m.missing_share for m in members]))
    return ChangeEstimate(component, component.test(), detectable, pairs, missing, graded=graded, missing_share=lacking)


def detectable_mean(component: Component, level: float) -> float:
    """The smallest true difference of a mean that these data detect 4 times in 5; 1 where they may detect none."""
    return min(1.0, power.detectable_from_error(component.half_width / critical_value(level), level=level))
