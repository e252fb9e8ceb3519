"""How responses end: lengths of reasoning and answer, and shares of unclosed blocks, loops and cut texts, alone and paired."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.comparison.metrics import POINTS, add_difference, has_parts, metric_value
from harness.comparison.result import MetricValue
from harness.types import Metric

if TYPE_CHECKING:
    from harness.comparison.alignment import TaskPanel
    from harness.comparison.sample_table import SampleTable

LENGTHS = (Metric("reasoning", "reading.reasoning"), Metric("answer", "reading.answer"))  # characters
SHARES = (
    Metric("unclosed", "reading.unclosed", lower_is_better=True),
    Metric("loops", "reading.loop", lower_is_better=True),
    Metric("truncated", "reading.truncated", lower_is_better=True),
)


def measure_termination(panel: TaskPanel, columns: SampleTable, level: float) -> tuple[MetricValue, ...]:
    """Lengths in characters and shares in points, each with its difference to the baseline; () for results without readings."""
    values = []
    for metric in (*LENGTHS, *SHARES):
        if not has_parts(metric, columns):
            continue
        value = metric_value(metric, panel, columns, level)
        if columns is not panel.baseline and has_parts(metric, panel.baseline):
            value = add_difference(metric, value, panel, columns, level)
        values.append(in_characters(value) if metric in LENGTHS else value)
    return tuple(values)


def in_characters(value: MetricValue) -> MetricValue:
    """A mean length, which was measured as if it were a share."""
    names = ("value", "low", "high", "delta", "delta_low", "delta_high", "mde")
    numbers = {name: getattr(value, name) for name in names}
    return replace(value, **{name: number / POINTS for name, number in numbers.items() if number is not None})
