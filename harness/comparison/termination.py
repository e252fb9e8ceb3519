"""How responses end: lengths of reasoning and answer, and shares of unclosed blocks, loops and cut texts.

They are measured as the further metrics of a task are, alone and paired, wherever responses were read (prompts/reading.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.types import Metric

if TYPE_CHECKING:
    from harness.comparison.result import MetricValue

POINTS = 100
LENGTHS = (Metric("reasoning", "reading.reasoning"), Metric("answer", "reading.answer"))
SHARES = (
    Metric("unclosed", "reading.unclosed", lower_is_better=True),
    Metric("loops", "reading.loop", lower_is_better=True),
    Metric("truncated", "reading.truncated", lower_is_better=True),
)
METRICS = (*LENGTHS, *SHARES)


def in_units(values: Iterable[MetricValue]) -> tuple[MetricValue, ...]:
    """Lengths in characters, shares in points."""
    lengths = {metric.name for metric in LENGTHS}
    return tuple(in_characters(value) if value.name in lengths else value for value in values)


def in_characters(value: MetricValue) -> MetricValue:
    """A mean length, which was measured as if it were a share."""
    names = ("value", "low", "high", "delta", "delta_low", "delta_high", "mde")
    numbers = {name: getattr(value, name) for name in names}
    return replace(value, **{name: number / POINTS for name, number in numbers.items() if number is not None})
