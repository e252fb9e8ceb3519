"""Over-optimisation: the reward that a run climbs goes up, what it stands for goes down (Gao et al., 2210.10760)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.comparison.result import Row
from harness.comparison.runs import Run
from harness.training_log import Curve

CLIMBED = ("reward", "reward margin")  # what a run optimises: a reward model's verdict, or DPO's implicit one
ERRORS = 2.0  # a rise of so many standard errors is one
FEWEST = 6  # logged points that can show a rise


def told(rows: Sequence[Row], runs: Sequence[Run]) -> Iterator[str]:
    """A sentence for each run with a checkpoint that is worse on average although the run's own reward rose up to it."""
    average = {r.checkpoint: r for r in rows if r.level == "average"}
    for run in runs:
        quantity = next((q for q in CLIMBED if q in run.curves), None)
        if quantity is None:
            continue
        curve = run.curves[quantity]
        fallen = [n for n, step in run.steps.items() if n in average and is_worse(average[n]) and rises(curve, step)]
        if fallen:
            worst = min(fallen, key=lambda n: delta(average[n]))
            first, last = (logged(v) for v in (curve.values[0], curve.at(run.steps[worst])))
            rise = f"{run.name}'s {quantity} rises ({curve.key}: {first} to {last})"
            more = f"; {len(fallen) - 1} more of its checkpoints are worse" if len(fallen) > 1 else ""
            yield f"Reward up, skills down: {rise}, {fall(average[worst], [r for r in rows if r.checkpoint == worst])}{more}."


def logged(value: float | None) -> str:
    """A logged number with two decimals."""
    return f"{(value or 0.0) + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")


def is_worse(row: Row) -> bool:
    """Is it called worse, with the whole interval below zero?"""
    return row.difference is not None and row.difference.verdict == "worse" and row.difference.delta_high < 0


def fall(average: Row, mine: Sequence[Row]) -> str:
    """How far a checkpoint fell on average, and the skill that it lost most on."""
    lowest = min((r for r in mine if r.level == "skill" and r.difference), key=delta)
    return f"while {average.checkpoint} is {points(average)} on average, most in {lowest.name}, {points(lowest)}"


def delta(row: Row) -> float:
    return row.difference.delta if row.difference else 0.0


def points(row: Row) -> str:
    found = row.difference
    assert found is not None, "only of candidates"
    return f"{found.delta:+.1f} [{found.delta_low:+.1f}, {found.delta_high:+.1f}]".replace("-", "−")


def rises(curve: Curve, step: int) -> bool:
    """Is the last third of what was logged up to `step` higher than the first, by ERRORS of Welch's standard errors?"""
    values = np.array([v for s, v in zip(curve.steps, curve.values, strict=True) if s <= step])
    if len(values) < FEWEST:
        return False
    third = len(values) // 3
    early, late = values[:third], values[-third:]
    error = float(np.sqrt((early.var(ddof=1) + late.var(ddof=1)) / third))
    return float(late.mean() - early.mean()) > ERRORS * error
