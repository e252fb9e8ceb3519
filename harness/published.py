"""Tables that others published, as data: reports/published/STUDY.yaml, each figure with its sources and how certain it is.

They are about other models than the user's: shown next to those and cited, never paired with them nor tested against them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from harness import config
from harness.own_packages import ROOT
from harness.types import SkilldeltaError, unknown_name

FOLDER = ROOT / "reports" / "published"
Certainty = Literal["high", "medium-high", "medium", "low"]
State = Literal["found", "not found", "none"]
Entry = float | str  # a number; "≈26", read off a chart; "nf", not found; "none", the study has none
ABSENT: Mapping[Entry, State] = {"nf": "not found", "none": "none"}


@dataclass(frozen=True)
class Figure:
    """One published number; `value` is None where it was not found, or where the study has none: nothing is filled in."""

    study: str
    table: str
    row: str
    column: str
    value: float | None
    state: State
    certainty: Certainty
    sources: tuple[str, ...]  # keys of the study's `sources`
    note: str = ""
    approximate: bool = False  # read off a chart


@dataclass(frozen=True)
class Provenance:
    """Where some figures of a table come from, when not from where the others do.  No rows, or no columns: all of them."""

    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    certainty: Certainty | None = None
    note: str = ""

    def fits(self, row: str, column: str) -> bool:
        return (not self.rows or row in self.rows) and (not self.columns or column in self.columns)


@dataclass(frozen=True)
class TableLayout:
    """A table as its file has it.  `counts` are columns that are no points; `groups` name kinds of rows."""

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Entry, ...]]
    sources: tuple[str, ...]
    certainty: Certainty
    caption: str = ""
    differences: bool = False
    counts: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exceptions: tuple[Mapping[str, Any], ...] = ()  # of Provenance


@dataclass(frozen=True)
class PublishedTable:
    """A published table: its figures by (row, column)."""

    study: str
    name: str
    layout: TableLayout
    exceptions: tuple[Provenance, ...]
    figures: Mapping[tuple[str, str], Figure]

    def figure(self, row: str, column: str) -> Figure:
        if row not in self.layout.rows:
            raise unknown_name(f"row in {self.name} of {self.study}", row, self.layout.rows)
        if column not in self.layout.columns:
            raise unknown_name(f"column in {self.name} of {self.study}", column, self.layout.columns)
        return self.figures[row, column]


@dataclass(frozen=True)
class PublishedStudy:
    """A published study: what it is, what each source is, its tables."""

    name: str
    summary: str
    sources: Mapping[str, str]
    tables: Mapping[str, PublishedTable]

    def table(self, name: str) -> PublishedTable:
        if name not in self.tables:
            raise unknown_name(f"published table of {self.name}", name, self.tables)
        return self.tables[name]


@dataclass(frozen=True)
class StudyFile:
    """What a study's file holds."""

    summary: str
    sources: Mapping[str, str]
    tables: Mapping[str, Mapping[str, Any]]  # of TableLayout


def find_figure(study: str, table: str, row: str, column: str) -> Figure:
    """One published number.  SkilldeltaError, with the names there are, for a name that does not exist."""
    return load_study(study).table(table).figure(row, column)


def study_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load_study(study: str) -> PublishedStudy:
    """The study `study`, read once."""
    if study not in study_names():
        raise unknown_name("published study", study, study_names())
    return read_study(FOLDER / f"{study}.yaml")


def select_tables(names: Iterable[str]) -> tuple[PublishedTable, ...]:
    """Tables by "STUDY" (all of it) or "STUDY:TABLE", each once."""
    tables_by_name: dict[tuple[str, str], PublishedTable] = {}
    for name in names:
        study, _, table_name = name.partition(":")
        tables = [load_study(study).table(table_name)] if table_name else load_study(study).tables.values()
        tables_by_name |= {(t.study, t.name): t for t in tables}
    return tuple(tables_by_name.values())


def read_study(path: Path) -> PublishedStudy:
    """The study in a file.  SkilldeltaError where a row lacks figures, or a name is used that does not exist."""
    try:
        content = config.build_config(StudyFile, config.load_yaml(path))
        layouts = {name: config.build_config(TableLayout, facts) for name, facts in content.tables.items()}
        tables = {name: build_table(path.stem, name, layout) for name, layout in layouts.items()}
        sources = {s for t in tables.values() for f in t.figures.values() for s in f.sources}
        if missing_names := sorted(sources - set(content.sources)):
            known_sources = ", ".join(content.sources)
            raise SkilldeltaError(f"the source {missing_names[0]!r} is not described; `sources` has {known_sources}.")
    except SkilldeltaError as error:
        raise SkilldeltaError(f"{path} holds no published tables: {error}") from error
    return PublishedStudy(path.stem, content.summary, content.sources, tables)


def build_table(study: str, name: str, layout: TableLayout) -> PublishedTable:
    """A table with each figure's own provenance."""
    exceptions = tuple(config.build_config(Provenance, e) for e in layout.exceptions)
    row_names = {r for rows in (*layout.groups.values(), *(e.rows for e in exceptions)) for r in rows}
    columns = {c for e in exceptions for c in e.columns} | set(layout.counts)
    if missing_names := sorted((row_names - set(layout.rows)) | (columns - set(layout.columns))):
        raise SkilldeltaError(f"{name} names {missing_names[0]!r}, which is none of its rows and columns.")
    figures = {(f.row, f.column): f for f in make_figures(study, name, layout, exceptions)}
    return PublishedTable(study, name, layout, exceptions, figures)


def make_figures(study: str, name: str, layout: TableLayout, exceptions: Iterable[Provenance]) -> Iterator[Figure]:
    """The figures of a table, row by row."""
    for row, values in layout.rows.items():
        if len(values) != len(layout.columns):
            raise SkilldeltaError(f"{name}, {row}: {len(values)} figures for {len(layout.columns)} columns.")
        for column, entry in zip(layout.columns, values, strict=True):
            certainty, sources, note = layout.certainty, layout.sources, ""
            for e in (e for e in exceptions if e.fits(row, column)):
                certainty, sources, note = e.certainty or certainty, e.sources or sources, e.note or note
            value, state, approximate = parse_entry(entry, f"{name}, {row}, {column}")
            yield Figure(study, name, row, column, value, state, certainty, sources, note, approximate)


def parse_entry(entry: Entry, where: str) -> tuple[float | None, State, bool]:
    """(value, state, whether it was read off a chart) of what a file has in one place."""
    if entry in ABSENT:
        return None, ABSENT[entry], False
    text = str(entry)
    try:
        value = float(text.removeprefix("≈"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SkilldeltaError(f"{where}: {entry!r} is neither a number, nor ≈ and a number, nor nf (not found), nor none.")
    return value, "found", text.startswith("≈")
