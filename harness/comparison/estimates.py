"""What is measured before anything is judged: one finding for each checkpoint and task, then for skills and the average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.comparison import metrics as extras
from harness.comparison.alignment import Measured, Paired, Panel
from harness.comparison.load import Stored
from harness.comparison.result import Extra as Metric
from harness.comparison.result import Level, Settings
from harness.comparison.sample_table import Columns
from harness.statistics import mcnemar, noise, power, sign_flip_test, weighted_means
from harness.statistics.estimate import Interval, quantile
from harness.statistics.weighted_means import Part, Sums
from harness.types import Json

NOTHING = Measured(0, 0.0, Interval(0.0, 1.0), Interval(0.0, 1.0))


@dataclass(frozen=True)
class Change:
    """A candidate's difference to the baseline, with what testing it needs.  Units: 0..1."""

    part: Part
    tested: sign_flip_test.Tested
    mde: float
    pairs: int
    missing: int
    flips: tuple[int, int] | None = None  # lost, gained
    noise: float | None = None  # share of the items whose score changes when they are asked again


@dataclass(frozen=True)
class Finding:
    """One checkpoint on one task, skill, or on average.  Units: 0..1."""

    checkpoint: str
    level: Level
    name: str
    skill: str
    own: Measured
    health: Mapping[str, int]
    tokens: float = float("nan")  # mean length of a response
    reasons: Mapping[str, int] = field(default_factory=dict)
    change: Change | None = None  # None for the baseline
    metrics: tuple[Metric, ...] = ()


def on_task(stored: Stored, task: str, settings: Settings, number: int) -> list[Finding]:
    """The baseline and every candidate on one task; signs are drawn once for all of them (`number`: the task's own stream)."""
    columns = stored.cells[stored.baseline, task].columns()
    panel = Panel(stored.tasks[task], columns)
    found = [alone(stored.baseline, panel, columns, settings.level)]
    pairs: list[Paired] = []
    for name, begun in stored.candidates(task):
        columns = begun.columns()  # one at a time: a task's columns for all checkpoints could be large
        found.append(alone(name, panel, columns, settings.level))
        pairs.append(noisy(panel.compare(columns, settings.level), (stored.tasks[task], begun.about), settings.level))
    changed = changes(pairs, settings, number)
    return found[:1] + [replace(f, change=c) for f, c in zip(found[1:], changed, strict=True)]


def alone(name: str, panel: Panel, columns: Columns, level: float) -> Finding:
    task = panel.task
    own = panel.measure(columns, level)
    metrics = extras.metrics(panel, columns, level)
    length = float(columns.tokens.mean()) if len(columns.tokens) else float("nan")
    return Finding(
        name, "task", task["name"], task["skill"], own, columns.health, length, columns.reasons, metrics=metrics
    )  # fmt: skip


def noisy(pair: Paired, abouts: tuple[Json, Json], level: float) -> Paired:
    """The difference with the noise of asking again in its interval, where that was measured and makes much of it."""
    known = [n.rate for n in map(noise.of, abouts) if n.n]
    delta = pair.delta
    if not known or not delta.n:
        return pair
    rate = sum(known) / len(known)
    square = delta.variance * delta.n + delta.value**2  # of a 0/1 score's difference: the share of the items that differ
    more = noise.added(rate, min((delta.lost + delta.gained) / delta.n, square), delta.n)
    wider = noise.widened(delta.value, delta.interval, more, quantile(level))
    return replace(pair, delta=replace(delta, interval=wider, variance=delta.variance + more), noise=rate)


def changes(pairs: Sequence[Paired], settings: Settings, number: int) -> list[Change]:
    """The candidates' differences, each with its p-value and the smallest difference that would have been found."""
    if not pairs:
        return []
    together = np.stack([p.contributions for p in pairs], axis=1)
    moved = together[np.any(together != 0, axis=1)]
    sums = sign_flip_test.drawn(moved, settings.draws, (settings.seed, number))
    return [change(pair, sums[i], settings.level) for i, pair in enumerate(pairs)]


def change(pair: Paired, sums: Sums, level: float) -> Change:
    delta = pair.delta
    part = Part(delta.value, delta.interval, pair.contributions[pair.contributions != 0], sums)
    lost, gained = delta.lost, delta.gained
    if delta.plain:
        tested = sign_flip_test.Tested(mcnemar.exact(lost, gained))
        mde = power.detectable(delta.n, max(lost + gained, 1) / delta.n, level=level)
    else:
        tested = part.tested()
        mde = power.detectable_from(float(np.sqrt(delta.variance)), delta.freedom, level=level)
    return Change(part, tested, mde, delta.n, pair.missing, (lost, gained), pair.noise)


def summaries(name: str, tasks: Mapping[str, Finding], skills: Mapping[str, Sequence[str]], level: float) -> list[Finding]:
    """A checkpoint's skills (unweighted means of tasks), and its average over skills, where nothing is missing."""
    found = []
    for skill, names in skills.items():
        if all(n in tasks for n in names):
            found.append(mean(Finding(name, "skill", skill, skill, NOTHING, {}), [tasks[n] for n in names], level))
    if len(found) == len(skills):
        found.append(mean(Finding(name, "average", "average", "", NOTHING, {}), found, level))
    return found


def mean(empty: Finding, members: Sequence[Finding], level: float) -> Finding:
    """`empty` with the unweighted mean of its members."""
    weights = [1 / len(members)] * len(members)
    score, interval = weighted_means.interval([m.own.score for m in members], [m.own.interval for m in members], weights)
    own = Measured(
        sum(m.own.n for m in members), score, Interval(max(0.0, interval.low), min(1.0, interval.high)),
        Interval(*(float(np.mean([getattr(m.own.bounds, side) for m in members])) for side in ("low", "high"))),
    )  # fmt: skip
    health: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for member in members:
        health.update(member.health)
        reasons.update(member.reasons)
    length = float(np.mean([m.tokens for m in members]))
    known = [m.change for m in members if m.change]
    both = mean_change(known, weights, level) if known else None
    return replace(empty, own=own, health=dict(health), tokens=length, reasons=dict(reasons), change=both)


def mean_change(members: Sequence[Change], weights: Sequence[float], level: float) -> Change:
    if len(members) == 1:
        return replace(members[0], flips=None, noise=None)
    part = weighted_means.add([m.part for m in members], weights)
    mde = power.detectable_from(part.half / quantile(level), level=level)
    return Change(part, part.tested(), mde, sum(m.pairs for m in members), sum(m.missing for m in members))
