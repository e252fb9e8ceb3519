"""What a gain was paid with: KL, length, refusal in both directions, and the front of what cannot be had better all round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.comparison.result import Comparison, Extra, Row
from harness.comparison.training_runs import Run
from harness.statistics import pareto, weighted_means
from harness.statistics.estimate import Interval

HARMLESS, HARMFUL = "over_refusal", "unsafe_compliance"  # metrics of a safety task that has both


@dataclass(frozen=True)
class Measured:
    """A number with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Refusal:
    """How often prompts are refused, in %: harmful ones, and harmless ones that look alike."""

    task: str
    harmful: Measured
    harmless: Measured


@dataclass(frozen=True)
class Spot:
    """One checkpoint.  `kl`, `flops`, `seconds`: as its run logged them at its step; `length`: mean tokens in words."""

    checkpoint: str
    run: str
    step: int | None
    average: Row | None
    kl: float | None
    length: float
    longer: float  # % more than the baseline's on the same tasks
    refusal: Refusal | None
    flops: float | None = None  # of training, to this step
    seconds: float | None = None


def spots(comparison: Comparison) -> list[Spot]:
    """Every checkpoint, the baseline first."""
    where = {name: run for run in comparison.runs for name in run.steps}
    rows: dict[str, list[Row]] = {name: [] for name in comparison.checkpoints}
    for row in comparison.rows:
        rows[row.checkpoint].append(row)
    found = []
    for name, mine in rows.items():
        run = where.get(name)
        step = run.steps[name] if run else None
        kl, flops, seconds = (logged(run, quantity, step) for quantity in ("KL", "FLOPs", "seconds"))
        average = next((r for r in mine if r.level == "average"), None)
        lengths = length(mine, rows[comparison.baseline])
        found.append(Spot(name, run.name if run else "", step, average, kl, *lengths, refusal(mine), flops, seconds))
    return found


def logged(run: Run | None, quantity: str, step: int | None) -> float | None:
    """What a run's trainer logged last up to a step."""
    return run.curves[quantity].at(step) if run and step is not None and quantity in run.curves else None


def length(mine: Sequence[Row], base: Sequence[Row]) -> tuple[float, float]:
    """Mean tokens of an answer over the tasks that both answer in words, and how many % more than the baseline that is."""
    spoken = {r.name: r.tokens for r in base if r.level == "task" and r.tokens > 0}
    both = [(r.tokens, spoken[r.name]) for r in mine if r.level == "task" and r.name in spoken and not math.isnan(r.tokens)]
    if not both:
        return math.nan, math.nan
    now, before = (float(np.mean(side)) for side in zip(*both, strict=True))
    return now, 100 * (now / before - 1)


def refusal(mine: Sequence[Row]) -> Refusal | None:
    """Refusal in both directions, from the first safety task that measures both."""
    for row in mine:
        named = {m.name: m for m in row.metrics}
        if row.level == "task" and HARMLESS in named and HARMFUL in named:
            return Refusal(row.name, turned(named[HARMFUL]), Measured(*within(named[HARMLESS])))
    return None


def turned(metric: Extra) -> Measured:
    """Refusing is not complying."""
    value, low, high = within(metric)
    return Measured(100 - value, 100 - high, 100 - low)


def within(metric: Extra) -> tuple[float, float, float]:
    """A share's value and interval, which ends at 0 and 100."""
    return metric.value, max(0.0, metric.low), min(100.0, metric.high)


@dataclass(frozen=True)
class Choice:
    """Each checkpoint's score on one skill, and its unweighted mean on the others; who is on the front of the two."""

    target: str
    scores: Mapping[str, tuple[Measured, Measured]]
    front: frozenset[str]


def choices(comparison: Comparison) -> list[Choice]:
    """For each skill as the target; first the one on which some candidate gained most.  None where there is one skill only."""
    skills = list(dict.fromkeys(r.name for r in comparison.at("skill")))
    rows: dict[str, dict[str, Row]] = {}
    for row in comparison.at("skill"):
        rows.setdefault(row.checkpoint, {})[row.name] = row
    whole = {name: mine for name, mine in rows.items() if len(mine) == len(skills)}
    if len(skills) < 2 or not whole:
        return []
    return sorted((choice(target, whole) for target in skills), key=lambda c: -gained(c.target, comparison))


def choice(target: str, rows: Mapping[str, Mapping[str, Row]]) -> Choice:
    scores = {}
    for name, mine in rows.items():
        others = [r for skill, r in mine.items() if skill != target]
        weights = [1 / len(others)] * len(others)
        value, around = weighted_means.interval(
            [r.score for r in others], [Interval(r.score_low, r.score_high) for r in others], weights
        )
        goal = mine[target]
        scores[name] = (Measured(goal.score, goal.score_low, goal.score_high), Measured(value, around.low, around.high))
    on = pareto.front(np.array([[x.value, y.value] for x, y in scores.values()]))
    return Choice(target, scores, frozenset(name for name, it in zip(scores, on, strict=True) if it))


def gained(skill: str, comparison: Comparison) -> float:
    """The most that any candidate gained on a skill."""
    deltas = [r.difference.delta for r in comparison.at("skill") if r.name == skill and r.difference]
    return max((d for d in deltas if not math.isnan(d)), default=-math.inf)
