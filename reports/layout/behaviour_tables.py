"""The panel of behaviour as tables of text: measures, divergence from the baseline, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.comparison.number_format import ABSENT, format_interval, format_number, format_p_value
from harness.grouping import group_by
from reports.layout.text_tables import TextTable

if TYPE_CHECKING:
    from harness.behaviour.choice_calibration import CalibrationRow
    from harness.behaviour.divergence import Divergence
    from harness.behaviour.panel import BehaviourRow, Change

POINTS = 100
MARKS: Mapping[Change, str] = {"more": "▲", "less": "▼", "unclear": "·", "": ""}
READING_GUIDE = (
    "Differences are paired prompt by prompt, with 95 % intervals; draws of one prompt count as one. ▲ more and ▼ less than "
    "the baseline: the interval excludes 0, and so does the test, corrected over the measures of a checkpoint (Holm). "
    "· inconclusive. More is not better here. What no checkpoint does is left out."
)
DIVERGENCE_GUIDE = (
    "Divergence: how much likelier a checkpoint's own answers are to itself than to the baseline, in nats (natural logarithm) "
    "per token. For draws at temperature 1 it estimates the KL divergence; of greedy answers it is no estimate of it."
)
CALIBRATION_GUIDE = (
    "ECE: the distance between confidence (the probability of the likeliest choice) and accuracy, in 10 bins. Its difference "
    "is cross-fitted, so that chance adds nothing to it: it may differ from the difference of the two columns."
)


def measure_table(task: str, rows: Sequence[BehaviourRow], part: str = "") -> TextTable:
    """A line for each measure; the baseline's value, then each candidate's with its difference under it.  `part`: of what."""
    by_checkpoint = group_by(rows, lambda row: row.checkpoint)
    by_measure = group_by(rows, lambda row: row.measure.name)
    lines = []
    for name, of_measure in by_measure.items():
        cells = {row.checkpoint: row for row in of_measure}
        values = (measure_cell_text(cells[who]) if who in cells else ABSENT for who in by_checkpoint)
        lines.append((name, unit_of(of_measure[0]), *values))
    return TextTable(f"Behaviour on {task}{part}", ("", "unit", *by_checkpoint), tuple(lines))


def unit_of(row: BehaviourRow) -> str:
    unit = row.measure.unit
    return unit if unit.startswith("%") else f"per {unit.removeprefix('an ').removeprefix('a ')}"


def measure_cell_text(row: BehaviourRow) -> str:
    value, text = row.value, format_number(row.value.value)
    if value.delta is None:
        return f"{text}\n{format_interval(value.low, value.high)}"
    mark = f" {MARKS[row.change]}" if row.change else ""
    interval = format_interval(value.delta_low, value.delta_high, signed=True)
    return f"{text}\n{format_number(value.delta, signed=True)} {interval}{mark}"


def divergence_table(divergences: Sequence[Divergence]) -> TextTable | None:
    """A line for each candidate; None without one."""
    lines = []
    for d in divergences:
        has_number = not math.isnan(d.value)
        interval = f"[{signed_number(d.interval.low)}, {signed_number(d.interval.high)}]" if has_number else ""
        value = signed_number(d.value) if has_number else ABSENT
        lines.append((d.checkpoint, value, interval, str(d.answers), str(d.tokens), d.note))
    columns = ("", "nats per token", "95 %", "answers", "tokens", "note")
    return TextTable("Divergence from the baseline, on own answers", columns, tuple(lines)) if lines else None


def signed_number(value: float) -> str:
    return format_number(value, signed=True, decimals=4)


def calibration_table(rows: Sequence[CalibrationRow]) -> TextTable | None:
    """A line for each checkpoint and task; None without one.  Units: points."""
    lines = []
    for row in rows:
        d = row.difference
        numbers = (format_number(POINTS * x) for x in (row.accuracy, row.confidence, row.error))
        change, p = "", ""
        if d:
            interval = format_interval(POINTS * d.interval.low, POINTS * d.interval.high, signed=True)
            change, p = f"{format_number(POINTS * d.value, signed=True)} {interval}", format_p_value(d.p)
        lines.append((row.task, row.checkpoint, str(row.n), *numbers, change, p))
    columns = ("task", "checkpoint", "n", "accuracy", "confidence", "ECE", "difference", "p")
    return TextTable("Calibration on choices", columns, tuple(lines)) if lines else None
