"""Numbers of a comparison as text: points, intervals, differences and p-values, the same in every view."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.comparison.result import Difference

MARKS = {"better": "▲", "worse": "▼", "same": "=", "unclear": "·"}
ABSENT = "—"


def format_number(value: float | None, signed: bool = False) -> str:
    """Points with one decimal and a true minus sign; an em dash for None and NaN."""
    if value is None or math.isnan(value):
        return ABSENT
    value = float(f"{value:.8g}")  # comparison.json holds 8 digits: a page that reads it must round alike
    text = f"{value:+.1f}" if signed else f"{value:.1f}"
    return text.replace("-", "−").replace("−0.0", "0.0").replace("+0.0", "0.0")


def format_interval(low: float | None, high: float | None, signed: bool = False) -> str:
    return f"[{format_number(low, signed)}, {format_number(high, signed)}]"


def format_difference(difference: Difference) -> str:
    """A difference in points with its interval and the mark of its verdict."""
    interval = format_interval(difference.delta_low, difference.delta_high, signed=True)
    return f"{format_number(difference.delta, signed=True)} {interval} {MARKS[difference.verdict]}"


def format_verdict(verdict: str) -> str:
    """The word that people read; `unclear` is the stored value of an inconclusive difference."""
    return verdict.replace("unclear", "inconclusive")


def format_p_value(p: float) -> str:
    if math.isnan(p):
        return ABSENT
    return "<0.001" if p < 0.001 else f"{p:.3f}"
