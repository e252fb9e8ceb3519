"""Stored results as other programs want them: every finished cell, measured as `compare` measures it, given to an exporter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness import registry
from harness.comparison import metrics as extras
from harness.comparison.alignment import Measured, Panel
from harness.comparison.load import Begun
from harness.comparison.result import Extra
from harness.store import Cell, Results
from harness.types import Json, Sample, SkilldeltaError

LEVEL = 0.95
POINTS = 100


@dataclass(frozen=True)
class Kept:
    """A finished cell: whose it is, what was asked, its samples, and what they amount to."""

    checkpoint: Json  # as in checkpoint.json
    about: Json  # as in task.json
    cell: Cell
    examples: Path  # the rows that were asked about, if they were kept

    @property
    def name(self) -> str:
        return str(self.about["task"]["name"])

    @cached_property
    def samples(self) -> list[Sample]:
        return list(self.cell.samples())

    @cached_property
    def rows(self) -> Mapping[str, Json]:
        """Rows by example; empty where none were kept."""
        if not self.examples.is_file():
            return {}
        found = (json.loads(line) for line in self.examples.read_bytes().split(b"\n") if line)
        return {one["example"]: one["row"] for one in found}

    @cached_property
    def measured(self) -> tuple[Measured, tuple[Extra, ...]]:
        """The score with its interval (0..1), and the further metrics (in points)."""
        columns = Begun(self.about, self.cell).columns()
        panel = Panel(self.about, columns)
        return panel.measure(columns, LEVEL), extras.metrics(panel, columns, LEVEL)

    @property
    def unscored(self) -> int:
        return sum(s.score.value is None for s in self.samples)


def export(folder: Path, to: str, output: Path, checkpoints: Sequence[str] = ()) -> list[Path]:
    """Writes every finished cell (of some checkpoints, or of all) in the format `to`; gives the paths of the files."""
    plugin = registry.module("exporters", to)
    results = Results(folder)
    known = results.checkpoints()
    for name in checkpoints:
        if name not in known:
            raise registry.unknown("checkpoint", name, known)
    cells = list(kept(results, known, checkpoints or tuple(known)))
    if not cells:
        raise SkilldeltaError(f"{folder} holds no finished cells: score or import something first.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise SkilldeltaError(f"{output} is there already, and not empty: name a new folder with -o.")
    paths: list[Path] = plugin.write(cells, output)
    return paths


def kept(results: Results, known: Mapping[str, Json], wanted: Sequence[str]) -> Iterator[Kept]:
    """The finished cells, in the order of checkpoints and tasks; what stands beside another reading comes after it."""
    there = [(n, a, c) for n, a, c in results.cells() if n in wanted and a.get("state", "done") == "done"]
    for name, about, cell in sorted(there, key=lambda one: (list(known).index(one[0]), bool(one[1]["task"].get("beside")))):
        if cell.samples_file.exists():
            yield Kept(known[name], about, cell, results.examples_file(about["task"]["name"]))
