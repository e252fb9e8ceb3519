"""Reward over-optimisation: a run's own reward rises while its skills fall (Gao et al., arXiv 2210.10760)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.number_format import format_change, format_number

if TYPE_CHECKING:
    from harness.comparison.result import Row
    from harness.comparison.training_runs import TrainingRun
    from harness.training_log import Curve

REWARD_QUANTITIES = ("reward", "reward margin")  # what a run optimises: a reward model's score, or DPO's implicit reward
CRITICAL_ERRORS = 2.0  # standard errors that make a rise
MIN_POINTS = 6  # logged points, with fewer no rise is claimed


def find_reward_hacking(rows: Sequence[Row], runs: Sequence[TrainingRun]) -> Iterator[str]:
    """A sentence for each run whose own reward rose while its skills fell, below the baseline or an earlier checkpoint."""
    for run in runs:
        quantity = next((q for q in REWARD_QUANTITIES if q in run.curves), None)
        if quantity is None:
            continue
        differences = [r for r in rows if r.checkpoint in run.steps and r.difference]
        if sentence := below_baseline(run, quantity, differences) or below_itself(run, quantity, differences):
            yield f"Reward up, skills down: {sentence}."


def below_baseline(run: TrainingRun, quantity: str, rows: Sequence[Row]) -> str:
    """On the checkpoint that is furthest below the baseline on average, although the reward rose up to it; "" without one."""
    curve = run.curves[quantity]
    worse_rows = [r for r in rows if r.level == "average" and is_worse(r) and rises(curve, run.steps[r.checkpoint])]
    if not worse_rows:
        return ""
    worst = min(worse_rows, key=difference_of)
    others = f"; {len(worse_rows) - 1} more of its checkpoints are worse" if len(worse_rows) > 1 else ""
    lowest = min(skill_rows(rows, worst.checkpoint).values(), key=difference_of)
    rise = describe_rise(run, quantity, worst)
    fall = f"{worst.checkpoint} is {format_points(worst)} on average, most in {lowest.name}, {format_points(lowest)}"
    return f"{rise}, while {fall}{others}"


def below_itself(run: TrainingRun, quantity: str, rows: Sequence[Row]) -> str:
    """On the largest fall of the average between two checkpoints without a fall of the reward in between; "" without one.

    Their intervals must not touch.  That is more cautious than a test of the two, as both are differences from one baseline.
    """
    curve = run.curves[quantity]
    averages = sorted((r for r in rows if r.level == "average"), key=lambda r: run.steps[r.checkpoint])
    falls = [(early, late) for early, late in combinations(averages, 2) if interval_of(late)[1] < interval_of(early)[0]]
    falls = [p for p in falls if rises_between(curve, *(run.steps[r.checkpoint] for r in p))]
    if not falls:
        return ""
    early, late = max(falls, key=lambda pair: difference_of(pair[0]) - difference_of(pair[1]))
    before, after = (skill_rows(rows, r.checkpoint) for r in (early, late))
    most = max(before.keys() & after.keys(), key=lambda name: (difference_of(before[name]) - difference_of(after[name]), name))
    fall = f"{late.checkpoint} is {format_points(late)} on average against {format_points(early)} of {early.checkpoint}"
    skill_fall = f"most in {most}, {format_points(after[most])} against {format_points(before[most])}"
    return f"{describe_rise(run, quantity, late)}, while {fall}, {skill_fall}"


def rises_between(curve: Curve, early: int, late: int) -> bool:
    """Whether a curve rises up to the later step without a fall since the earlier one."""
    return rises(curve, late) and not rises(replace(curve, values=tuple(-v for v in curve.values)), late, early)


def describe_rise(run: TrainingRun, quantity: str, row: Row) -> str:
    """A clause on the rise of the reward up to a checkpoint."""
    curve = run.curves[quantity]
    first, last = format_logged(curve.values[0]), format_logged(curve.at(run.steps[row.checkpoint]))
    return f"{run.name}'s {quantity} rises ({curve.key}: {first} to {last})"


def format_logged(value: float | None) -> str:
    return format_number(value or 0.0, decimals=2)


def skill_rows(rows: Sequence[Row], checkpoint: str) -> dict[str, Row]:
    return {r.name: r for r in rows if r.checkpoint == checkpoint and r.level == "skill"}


def is_worse(row: Row) -> bool:
    """Whether the verdict is worse, with the whole interval below zero."""
    return row.difference is not None and row.difference.verdict == "worse" and row.difference.delta_high < 0


def difference_of(row: Row) -> float:
    return row.difference.delta if row.difference else 0.0


def interval_of(row: Row) -> tuple[float, float]:
    assert row.difference is not None, "only of candidates"
    return row.difference.delta_low, row.difference.delta_high


def format_points(row: Row) -> str:
    low, high = interval_of(row)
    return format_change(difference_of(row), low, high)


def rises(curve: Curve, until: int, since: int = 0) -> bool:
    """Whether the last third of the values logged between two steps is above the first by CRITICAL_ERRORS.

    The standard error is Welch's (1947), of the difference of the two means.
    """
    values = np.array([v for s, v in zip(curve.steps, curve.values, strict=True) if since <= s <= until])
    if len(values) < MIN_POINTS:
        return False
    third = len(values) // 3
    early, late = values[:third], values[-third:]
    error = float(np.sqrt((early.var(ddof=1) + late.var(ddof=1)) / third))
    return float(late.mean() - early.mean()) > CRITICAL_ERRORS * error
