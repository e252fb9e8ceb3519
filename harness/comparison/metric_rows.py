"""The metrics of tasks as rows of a comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.comparison.result import Row


def metric_rows(rows: Iterable[Row], tests: int) -> dict[str, Row]:
    """The metrics of tasks as rows, signed so that more is better; p is Bonferroni corrected over `tests`."""
    rows_by_name = {}
    for row in rows:
        for m in row.metrics:
            if m.gain is None or row.difference is None:
                continue
            (delta, low, high), p = m.gain, 1.0 if m.p is None else m.p
            difference = replace(
                row.difference, delta=delta, delta_low=low, delta_high=high, p=p, p_adjusted=min(1.0, p * max(tests, 1)),
                mde=math.nan if m.mde is None else m.mde, pairs=m.pairs, missing=m.missing, flips=None,
                missing_share=m.missing / max(m.pairs + m.missing, 1),
            )  # fmt: skip
            name, hint = f"{row.name}/{m.name}", ", lower is better" if m.lower_is_better else ""
            rows_by_name[name] = replace(row, name=name + hint, n=m.pairs, unscored=0, difference=difference)
    return rows_by_name
