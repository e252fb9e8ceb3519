"""The panel of behaviour: every measure of every checkpoint's answers to a task, with paired differences from the baseline.

The intervals are those of a task's further metrics (comparison/metrics.py); p-values are corrected over the measures of a
candidate on a task (Holm).  There is no better and worse here, only more and less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.behaviour.measures import MEASURES, PREFIX, Answer, Measure, measure_answer, measure_draws
from harness.behaviour.questions import question_text
from harness.comparison.alignment import TaskPanel
from harness.comparison.metrics import NUMBERS, divide_value, measure_metrics
from harness.comparison.sample_table import SampleTable, float_array, make_table
from harness.grouping import group_by
from harness.prompts.reading import Reader
from harness.sample_lines import sample_to_json
from harness.statistics.multiple_testing import holm
from harness.types import Json, Sample, digest

if TYPE_CHECKING:
    from harness.comparison.load import LoadedResults, StoredCell
    from harness.comparison.result import MetricValue

Change = Literal["more", "less", "unclear", ""]


@dataclass(frozen=True)
class BehaviourRow:
    """One measure of one checkpoint on one task, in the unit of the measure; `change` against the baseline."""

    task: str
    checkpoint: str
    measure: Measure
    value: MetricValue
    p_adjusted: float | None = None
    change: Change = ""

    def to_json(self) -> dict[str, Any]:
        numbers = {name: getattr(self.value, name) for name in (*NUMBERS, "p", "pairs", "missing")}
        what = {"task": self.task, "checkpoint": self.checkpoint, "measure": self.measure.name, "unit": self.measure.unit}
        return what | numbers | {"p_adjusted": self.p_adjusted, "change": self.change}


def is_generated(results: LoadedResults, task: str) -> bool:
    """Whether a task's answers are texts, which its record says."""
    record = results.tasks[task]
    return record.inputs.kind == "generate" and not results.is_variant(task)


def measure_behaviour(
    results: LoadedResults, task: str, rows: Mapping[str, Json], level: float, most: int = 0
) -> list[BehaviourRow]:
    """Every measure that any checkpoint shows, of the baseline and then of each candidate.

    `rows`: the task's rows by example; `most`: so many examples at most, the same of every checkpoint, by their hashes; 0: all.
    """
    panel = TaskPanel(results.tasks[task], measure_cell(results.cells[results.baseline, task], rows, most))
    values = {results.baseline: values_by_measure(panel, panel.baseline, level)}
    for name, cell in results.candidates(task):
        values[name] = values_by_measure(panel, measure_cell(cell, rows, most), level)
    present = [m for m in MEASURES if any(is_present(of_checkpoint.get(m.name)) for of_checkpoint in values.values())]
    table = []
    for name, of_checkpoint in values.items():
        own = [BehaviourRow(task, name, m, of_checkpoint[m.name]) for m in present if m.name in of_checkpoint]
        table += own if name == results.baseline else decide_changes(own, level)
    return table


def values_by_measure(panel: TaskPanel, columns: SampleTable, level: float) -> dict[str, MetricValue]:
    """The measures that the samples have, each in its own unit."""
    values = measure_metrics(panel, columns, level, [measure.metric for measure in MEASURES])
    scales = {measure.name: measure.scale for measure in MEASURES}
    return {value.name: in_unit(value, scales[value.name]) for value in values}


def in_unit(value: MetricValue, scale: float) -> MetricValue:
    """A value in points as one in another unit.  No measure is below 0, so neither is an interval of one."""
    in_units = divide_value(value, scale)
    return replace(in_units, low=max(in_units.low, 0.0))


def is_present(value: MetricValue | None) -> bool:
    """Whether there is anything to show: what nobody does stays out of the table."""
    return value is not None and bool(value.value) and not np.isnan(value.value)


def decide_changes(rows: Sequence[BehaviourRow], level: float) -> list[BehaviourRow]:
    """A candidate's rows with corrected p-values: more or less where the test and the interval both show it."""
    with_p = [row for row in rows if row.value.p is not None and not np.isnan(row.value.p)]
    adjusted_p = dict(zip((r.measure.name for r in with_p), holm(float_array(r.value.p for r in with_p)), strict=True))
    return [
        decide_change(row, float(adjusted_p[row.measure.name]), level) if row.measure.name in adjusted_p else row
        for row in rows
    ]


def decide_change(row: BehaviourRow, p_adjusted: float, level: float) -> BehaviourRow:
    """The row with its change: an interval that touches 0 decides nothing, however small p is."""
    low, high = row.value.delta_low or 0.0, row.value.delta_high or 0.0
    change: Change = "unclear"
    if p_adjusted <= 1 - level and (low > 0 or high < 0):
        change = "more" if low > 0 else "less"
    return replace(row, p_adjusted=p_adjusted, change=change)


def measure_cell(cell: StoredCell, rows: Mapping[str, Json], most: int = 0) -> SampleTable:
    """A cell's samples as a table whose parts are those of the measures; a row for each draw."""
    samples = {s.key: s for s in cell.cell.samples() if cell.includes is None or cell.includes(s.example)}
    keep = first_by_hash({example for example, _ in samples}, most)
    samples = {key: sample for key, sample in samples.items() if key[0] in keep}
    reader = Reader.from_record(cell.record.reader)
    answers = {key: answer_of_sample(sample, rows.get(sample.example, {}), reader) for key, sample in samples.items()}
    parts = {key: measure_answer(answer) if answer else {} for key, answer in answers.items()}
    for keys in group_by(samples, lambda key: key[0]).values():
        present = [answer for key in keys if (answer := answers[key])]
        first = min(keys)  # of a prompt, so in the row of its first draw alone, in whatever order draws came
        parts[first] = {**parts[first], **measure_draws(present)}
    table = make_table({key: sample_to_json(sample) for key, sample in samples.items()})
    names = sorted({name for of_answer in parts.values() for name in of_answer})
    columns = {PREFIX + name: float_array(parts[key].get(name) for key in table.keys) for name in names}
    return replace(table, parts=columns)


def first_by_hash(examples: Iterable[str], most: int) -> set[str]:
    """At most `most` of the examples, by a hash of their own, whatever the order of rows; all for 0."""
    return set(sorted(examples, key=digest)[: most or None])


def answer_of_sample(sample: Sample, row: Json, reader: Reader) -> Answer | None:
    """A sample as it is measured; None where the model was not asked, or failed."""
    response = sample.response
    if response.finish not in ("stop", "length"):
        return None
    text, reading = reader.read(response)
    parts = reader.part(response)
    return Answer(question_text(row), text, parts.reasoning, response.tokens_out, reading.loop > 0, response.finish == "length")
