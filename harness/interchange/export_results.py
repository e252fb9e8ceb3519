"""Stored results as other programs want them: each finished cell, measured as `compare` measures it, goes to a format."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from harness import registry
from harness.atomic_files import atomic_folder
from harness.bounded_files import is_folder, is_listed
from harness.comparison.alignment import MeasuredScore, TaskPanel
from harness.comparison.load import StoredCell
from harness.comparison.metrics import measure_metrics
from harness.comparison.result import MetricValue
from harness.example_rows import read_rows
from harness.grouping import group_by
from harness.records import CellRecord, CheckpointRecord
from harness.store import Cell, Results
from harness.types import Aggregate, Json, Sample, SkilldeltaError, unknown_name
from harness.visible_text import printable

LOG = logging.getLogger("skilldelta")
LEVEL = 0.95
AGGREGATE_WORDS = {"mean": "a mean", "macro": "a mean of the means of groups", "f1": "F1 of a group"}
POINTS = 100
TARGETS = ("answer", "target", "expected_answer", "label", "gold")  # columns that hold the expected answer


@dataclass(frozen=True)
class ExportedCell:
    """A finished cell: its checkpoint, its task, its samples, and the scores that they come to."""

    checkpoint: CheckpointRecord
    record: CellRecord
    cell: Cell
    examples: Path  # the rows behind the samples, if they were kept

    @property
    def name(self) -> str:
        """The task's."""
        return self.record.task.name

    @cached_property
    def samples(self) -> list[Sample]:
        return list(self.cell.samples())

    @cached_property
    def rows(self) -> Mapping[str, Json]:
        """Rows by example; empty where none were kept."""
        return read_rows(self.examples)

    @cached_property
    def measures(self) -> tuple[MeasuredScore, tuple[MetricValue, ...]]:
        """The score with its interval (0..1), and the further metrics (in points)."""
        columns = StoredCell(self.record, self.cell).columns()
        panel = TaskPanel(self.record, columns)
        return panel.measure(columns, LEVEL), measure_metrics(panel, columns, LEVEL)

    @property
    def n_unscored(self) -> int:
        return sum(sample.score.value is None for sample in self.samples)


def export_results(folder: Path, to: str, output: Path, checkpoints: Sequence[str] = ()) -> list[Path]:
    """Writes every finished cell (of some checkpoints, or of all) in the format `to`; gives the paths of the files."""
    plugin = registry.module("exporters", to)
    results = Results(folder)
    records = results.checkpoints()
    for name in checkpoints:
        if name not in records:
            raise unknown_name("checkpoint", name, records)
    cells = list(finished_cells(results, records, checkpoints or tuple(records)))
    if not cells:
        raise SkilldeltaError(f"{folder} holds no finished cells: score or import something first.")
    if is_listed(output) and (not is_folder(str(output)) or any(output.iterdir())):
        raise SkilldeltaError(f"{output} exists already, and is not empty: name a new folder with -o.")
    for sentence in describe_losses(cells, to, getattr(plugin, "AGGREGATES", get_args(Aggregate))):
        LOG.warning(sentence)
    with atomic_folder(output) as draft:
        paths: list[Path] = plugin.write(cells, draft)
        check_distinct(paths, draft)
    return [output / path.relative_to(draft) for path in paths]


def describe_losses(cells: Sequence[ExportedCell], to: str, aggregates: Collection[Aggregate]) -> list[str]:
    """A sentence for each way to make a score of items that the format has no words for, with the tasks that have it."""
    others = {cell.name: cell.record.task.aggregate for cell in cells if cell.record.task.aggregate not in aggregates}
    return [
        f"{', '.join(sorted(name for name in others if others[name] == aggregate))}: {AGGREGATE_WORDS[aggregate]} here.  "
        f"{to} cannot tell that: its files have every item, and another score."
        for aggregate in sorted(set(others.values()))
    ]


def check_distinct(paths: Sequence[Path], folder: Path) -> None:
    """SkilldeltaError where two names became one file: by a format's own rules, or as the file system ignores case."""
    places = Counter((status.st_dev, status.st_ino) for status in map(Path.stat, paths))
    if doubles := [path for path in paths if places[path.stat().st_dev, path.stat().st_ino] > 1]:
        name = printable(str(doubles[0].relative_to(folder)))
        raise SkilldeltaError(
            f"Two results would be one file of this format here, {name}: their names differ too little for it.  Export one "
            "checkpoint at a time, each into a folder of its own (--checkpoint NAME, -o)."
        )


def finished_cells(
    results: Results, records: Mapping[str, CheckpointRecord], checkpoints: Sequence[str]
) -> Iterator[ExportedCell]:
    """The finished cells, in the order of checkpoints and tasks; a variant of a task comes after it."""
    places = {name: place for place, name in enumerate(records)}
    cells = [(name, record, cell) for name, record, cell in results.cells() if name in checkpoints and record.state == "done"]
    for name, record, cell in sorted(cells, key=lambda entry: (places[entry[0]], bool(entry[1].task.variant_of))):
        if cell.samples_file.exists():
            yield ExportedCell(records[name], record, cell, results.examples_file(record.task.name))


def group_by_checkpoint(cells: Sequence[ExportedCell]) -> dict[str, list[ExportedCell]]:
    return group_by(cells, lambda cell: cell.checkpoint.name)


def find_target(row: Json) -> str | None:
    """The expected answer, where a row has one."""
    return next((str(row[column]) for column in TARGETS if row.get(column) is not None), None)
