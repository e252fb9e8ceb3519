"""Readings of one task that point opposite ways: an answer read strictly falls, the same answer read flexibly rises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import hypot
from typing import TYPE_CHECKING

from harness.comparison.number_format import format_change
from harness.comparison.result import OpposedReadings, Row
from harness.grouping import group_by

if TYPE_CHECKING:
    from harness.comparison.load import LoadedResults

Reading = tuple[str, float, float, float]  # its name, the difference and its interval; more is better


def opposed_readings(rows: Sequence[Row], results: LoadedResults) -> tuple[OpposedReadings, ...]:
    """For each candidate and task the two readings that contradict each other most, wherever two do."""
    contradictions = []
    tasks = [row for row in rows if row.level == "task" and row.difference]
    for (checkpoint, task), of_task in group_by(tasks, lambda r: (r.checkpoint, main_task(r.name, results))).items():
        groups = [[reading_of_row(row) for row in of_task], *(group for row in of_task for group in filters_of_metrics(row))]
        pairs = [pair for group in groups for pair in combinations(group, 2) if are_opposed(*pair)]
        if pairs:
            one, other = max(pairs, key=lambda pair: abs(pair[0][1] - pair[1][1]))
            words = " but ".join(f"{name} by {format_change(*change)}" for name, *change in (one, other))
            contradictions.append(
                OpposedReadings(checkpoint, task, of_task[0].skill, f"{checkpoint} on {task} changes {words}")
            )
    return tuple(contradictions)


def main_task(task: str, results: LoadedResults) -> str:
    """The task whose answers a task reads, which is mostly itself."""
    return results.tasks[task].task.variant_of if results.is_variant(task) else task


def reading_of_row(row: Row) -> Reading:
    assert row.difference, "only candidates have readings"
    return row.name, row.difference.delta, row.difference.delta_low, row.difference.delta_high


def filters_of_metrics(row: Row) -> Iterator[list[Reading]]:
    """The metrics of a task that read one thing in several ways: "exact_match,strict" and "exact_match,flexible"."""
    metrics = group_by((m for m in row.metrics if "," in m.name), lambda m: m.name.partition(",")[0])
    for group in metrics.values():
        yield [(f"{row.name}/{m.name}", *m.gain) for m in group if m.gain]


def are_opposed(one: Reading, other: Reading) -> bool:
    """Whether one falls and the other rises, and that is no noise: one of the two is shown, or their distance is."""
    (_, down, _, down_high), (_, up, up_low, _) = sorted((one, other), key=lambda reading: reading[1])
    if not down < 0 < up:
        return False
    return down_high < 0 or up_low > 0 or up - down > hypot(down_high - down, up - up_low)
