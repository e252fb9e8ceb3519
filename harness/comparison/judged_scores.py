"""Tasks that a judge scores: the judge's measured errors in intervals, and what to say of it at the foot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness import registry
from harness.grading.criteria import BETTER
from harness.grading.preferences import PREFERENCE_METRIC
from harness.grading.questions import AGREEMENTS
from harness.grading.stored_checks import find_errors, has_check, rates_from_json
from harness.statistics.judge_error import (
    ClassMean,
    ErrorRates,
    can_decide,
    difference_interval,
    error_factor,
    hull,
    share_interval,
    true_share,
)
from harness.types import Json

if TYPE_CHECKING:
    from harness.comparison.alignment import MeasuredScore, TaskDifference
    from harness.comparison.load import LoadedResults
    from harness.comparison.result import Row
    from harness.records import CellRecord

POINTS = 100


def judge_errors(record: CellRecord) -> ErrorRates | None:
    """The error rates of the judge that graded a cell; None where rules did, or nobody measured them.

    The score of an F1 task says whether a decision is right: on one side where the criterion holds, on the other where it does
    not.  Both kinds of error are averaged there.
    """
    errors = judge_work(record).get("errors") if record.task.judge else None
    rates = rates_from_json(errors) if isinstance(errors, dict) else None
    return average_sides(rates) if rates and record.task.aggregate == "f1" else rates


def average_sides(rates: ErrorRates) -> ErrorRates:
    """The rates of right decisions, over both answers that may be right; their power errs as much as that of `rates`."""
    other = rates.reverse()
    square = (rates.hit.error**2 + rates.miss.error**2) / 2
    pairs = ((rates.hit, other.hit), (rates.miss, other.miss))
    hit, miss = (ClassMean(a.n, (a.mean + b.mean) / 2, square * (a.n + 2)) for a, b in pairs)
    return ErrorRates(hit, miss)


def widen_score(own: MeasuredScore, record: CellRecord, level: float) -> MeasuredScore:
    """A checkpoint's score, whose interval also holds what the judge's errors leave of it."""
    rates = judge_errors(record)
    if rates is None or not own.n:
        return own
    return replace(own, interval=hull(own.interval, share_interval(own.score, own.interval, rates, level)))


def widen_difference(pair: TaskDifference, record: CellRecord, level: float) -> TaskDifference:
    """A paired difference, whose interval also holds what the judge's errors leave of it."""
    rates, delta = judge_errors(record), pair.delta
    if rates is None or not delta.n:
        return pair
    interval = hull(delta.interval, difference_interval(delta.value, delta.interval, rates, level))
    factor = pair.error_factor * error_factor(delta.interval, rates, level)
    wide_delta = replace(delta, interval=interval)
    return replace(pair, delta=wide_delta, error_factor=factor, graded=pair, is_decidable=can_decide(rates, level))


def add_later_checks(results: LoadedResults) -> LoadedResults:
    """The results, with the errors of a judge that was measured after it had graded the baseline.

    They are those of another cell that the same judge graded, or else what judge-check keeps on this machine.
    """
    cells = dict(results.cells)
    for task, record in results.tasks.items():
        if record.task.judge and judge_errors(record) is None and (errors := later_check(task, record, results)):
            conditions = {**record.conditions, "judge": {**judge_work(record), "errors": errors}}
            key = results.baseline, task
            cells[key] = replace(cells[key], record=replace(record, conditions=conditions))
    return replace(results, cells=cells)


def later_check(task: str, record: CellRecord, results: LoadedResults) -> Json:
    """The errors of a task's judge that another cell, or this machine, knows; {} where neither does."""
    judge = record.task.judge or ""
    for _, cell in results.candidates(task):
        if cell.record.task.judge == judge and judge_errors(cell.record) is not None:
            of_cell: Json = judge_work(cell.record)["errors"]
            return of_cell
    criterion = criterion_of(record) if has_check(judge) else ""
    return find_errors(judge, criterion) if criterion else {}


def criterion_of(record: CellRecord) -> str:
    """What the judge of a cell decided; "" where neither its record nor a task of this program says."""
    if (own := judge_work(record).get("criterion")) and isinstance(own, str):
        return own
    if str(record.imported.get("metric", "")).startswith(PREFERENCE_METRIC):
        return BETTER
    task = registry.tasks().get(record.task.name)
    return task.criterion if task else ""


def judge_work(record: CellRecord) -> Json:
    """What task.json tells of the judge; {} of an older one."""
    work = record.conditions.get("judge")
    return work if isinstance(work, dict) else {}


def describe_orders(task: str, results: LoadedResults) -> str:
    """How often the judge's two orders, or its annotators, agreed, over the checkpoints, where that is known."""
    works = [judge_work(cell.record) for (_, name), cell in results.cells.items() if name == task]
    sentences = []
    for part, words in AGREEMENTS.items():
        if shares := [work[part] for work in works if isinstance(work.get(part), float)]:
            low, high = (f"{POINTS * share:.0f}" for share in (min(shares), max(shares)))
            sentences.append(f"  Its {words} agree on {low if low == high else f'{low} to {high}'} % of the answers.")
    return "".join(sentences)


def judge_notes(rows: Sequence[Row], results: LoadedResults) -> list[str]:
    """A sentence for each task that a judge scored: how well it is known to judge, and the corrected scores."""
    notes = []
    for name, record in results.tasks.items():
        if not record.task.judge or "judge" not in record.conditions:  # older results tell nothing of their judge
            continue
        rates, orders = judge_errors(record), describe_orders(name, results)
        if rates is None:
            notes.append(
                f"{name} was graded by {record.task.judge}, whose errors were not measured: its intervals hold the choice of "
                f"questions alone (`skilldelta judge-check` measures a judge).{orders}"
            )
            continue
        shares = [
            (row.checkpoint, true_share(row.score / POINTS, rates)) for row in rows if row.level == "task" and row.name == name
        ]
        estimates = ", ".join(f"{who} {POINTS * share:.1f}" for who, share in shares if share == share)
        labels = record.conditions["judge"]["errors"].get("set", "labels")
        mean_grades = (
            f"{POINTS * rates.hit.mean:.0f} % where they are good and {POINTS * rates.miss.mean:.0f} % where they are not"
        )
        outcome = f"hold these errors (Rogan and Gladen); corrected scores: {estimates}" if estimates else "say nothing"
        count = rates.hit.n + rates.miss.n
        notes.append(
            f"{name} was graded by {record.task.judge}: its mean grade of {count} labelled items ({labels}) is {mean_grades}.  "
            f"The intervals {outcome}.{orders}"
        )
    return notes
