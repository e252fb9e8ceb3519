"""avg@n and pass@k of any task whose questions were answered several times: means over problems, with problems as clusters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.sample_table import collapse_draws
from harness.types import Metric

if TYPE_CHECKING:
    from harness.comparison.alignment import TaskPanel
    from harness.comparison.sample_table import SampleTable


def metrics_of_draws(panel: TaskPanel, columns: SampleTable) -> tuple[TaskPanel, SampleTable, list[Metric]]:
    """A panel and a table with one row for each problem, and the metrics to measure on them.

    avg@n is the mean of a problem's n draws; where draws are right or wrong there is pass@k for 2, 4, ... and n draws.  There
    are no metrics for a task with one draw, and for one whose score is pass@k itself.  In a task that averages its groups
    these are plain means over problems all the same, so that they can be compared with each other.
    """
    count = panel.record.inputs.draws
    if count < 2 or panel.task.pass_at or not (is_drawn(panel.baseline, count) and is_drawn(columns, count)):
        return panel, columns, []
    tables = (panel.baseline, columns)
    ks = attempts(count) if all(map(is_right_or_wrong, tables)) else []
    metrics = [Metric(f"avg@{count}", part="pass@1"), *(Metric(f"pass@{k}", part=f"pass@{k}") for k in ks)]
    baseline = collapse_problems(panel.baseline, ks)
    own = baseline if columns is panel.baseline else collapse_problems(columns, ks)
    return type(panel)(panel.record, baseline), own, metrics


def attempts(count: int) -> list[int]:
    """The k of pass@k for so many draws: 2, 4, 8, ... and the count itself."""
    return sorted({*(2**power for power in range(1, count.bit_length()) if 2**power <= count), count})


def is_drawn(columns: SampleTable, count: int) -> bool:
    """Whether some problem has all its draws: a cell that is not finished may have none."""
    return any(draw == count - 1 for _, draw in columns.keys)


def is_right_or_wrong(columns: SampleTable) -> bool:
    return bool(np.isin(columns.score[~np.isnan(columns.score)], (0.0, 1.0)).all())


def collapse_problems(columns: SampleTable, ks: list[int]) -> SampleTable:
    """One row for each problem: its mean over draws as the part pass@1, its unbiased pass@k (Chen et al. 2021) for each k."""
    table = collapse_draws(columns, 1)
    return replace(table, parts=dict(table.parts) | {f"pass@{k}": collapse_draws(columns, k).score for k in ks})
