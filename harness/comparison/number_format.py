"""Numbers of a comparison as text: points, intervals, differences and p-values, the same in every view."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.comparison.result import Difference

MARKS = {"better": "▲", "worse": "▼", "same": "=", "unclear": "·"}
ABSENT = "—"
ZERO = re.compile(r"^[+-]0(?=(\.0*)?$)")  # a sign before nothing but zeros


def format_number(value: float | None, signed: bool = False, decimals: int = 1) -> str:
    """A number, of points mostly, with a true minus sign; zero has no sign; an em dash for None and NaN."""
    if value is None or math.isnan(value):
        return ABSENT
    value = float(f"{value:.8g}")  # comparison.json holds 8 digits: a page that reads it must round alike
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    return ZERO.sub("0", text).replace("-", "−")


def format_interval(low: float | None, high: float | None, signed: bool = False, decimals: int = 1) -> str:
    return f"[{format_number(low, signed, decimals)}, {format_number(high, signed, decimals)}]"


def format_change(delta: float | None, low: float | None, high: float | None, *, decimals: int = 1) -> str:
    """A difference in points with its interval."""
    return f"{format_number(delta, True, decimals)} {format_interval(low, high, True, decimals)}"


def format_difference(difference: Difference) -> str:
    """A difference in points with its interval and the mark of its verdict."""
    return f"{format_change(difference.delta, difference.delta_low, difference.delta_high)} {MARKS[difference.verdict]}"


def format_verdict(verdict: str) -> str:
    """The word that people read; `unclear` is the stored value of an inconclusive difference."""
    return verdict.replace("unclear", "inconclusive")


def format_p_value(p: float) -> str:
    if math.isnan(p):
        return ABSENT
    return "<0.001" if p < 0.001 else f"{p:.3f}"
