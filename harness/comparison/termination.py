"""How responses end: lengths of reasoning and answer, and shares of unclosed blocks, loops and cut texts.

They are measured as the further metrics of a task are, alone and paired, wherever responses were read (prompts/reading.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.types import Metric

if TYPE_CHECKING:
    from harness.comparison.result import MetricValue

LENGTHS = (Metric("reasoning", "reading.reasoning"), Metric("answer", "reading.answer"))
SHARES = (
    Metric("unclosed", "reading.unclosed", lower_is_better=True),
    Metric("loops", "reading.loop", lower_is_better=True),
    Metric("truncated", "reading.truncated", lower_is_better=True),
)
METRICS = (*LENGTHS, *SHARES)


def in_units(values: Iterable[MetricValue]) -> tuple[MetricValue, ...]:
    """Lengths in characters, which were measured as if they were shares; shares in points."""
    from harness.comparison.metrics import POINTS, divide_value  # reports name the metrics alone

    lengths = {metric.name for metric in LENGTHS}
    return tuple(divide_value(value, POINTS) if value.name in lengths else value for value in values)
