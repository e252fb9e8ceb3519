"""Tables that others published, as data: reports/published/STUDY.yaml, each figure with its sources and how certain it is.

They are about other models than one's own: shown beside them and cited, never paired with them nor tested against them.
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
class Written:
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
class Table:
    """A published table: its figures by (row, column)."""

    study: str
    name: str
    written: Written
    exceptions: tuple[Provenance, ...]
    figures: Mapping[tuple[str, str], Figure]

    def figure(self, row: str, column: str) -> Figure:
        if row not in self.written.rows:
            raise unknown_name(f"row in {self.name} of {self.study}", row, self.written.rows)
        if column not in self.written.columns:
            raise unknown_name(f"column in {self.name} of {self.study}", column, self.written.columns)
        return self.figures[row, column]


@dataclass(frozen=True)
class Study:
    """A published study: what it is, what each source is, its tables."""

    name: str
    summary: str
    sources: Mapping[str, str]
    tables: Mapping[str, Table]

    def table(self, name: str) -> Table:
        if name not in self.tables:
            raise unknown_name(f"published table of {self.name}", name, self.tables)
        return self.tables[name]


@dataclass(frozen=True)
class File:
    """What a study's file holds."""

    summary: str
    sources: Mapping[str, str]
    tables: Mapping[str, Mapping[str, Any]]  # of Written


def figure(study: str, table: str, row: str, column: str) -> Figure:
    """One published number, by names; an error that lists what there is where one of them does not exist."""
    return load(study).table(table).figure(row, column)


def known() -> list[str]:
    """The studies that have tables here."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load(study: str) -> Study:
    """The study `study`, read once."""
    if study not in known():
        raise unknown_name("published study", study, known())
    return read(FOLDER / f"{study}.yaml")


def chosen(names: Iterable[str]) -> tuple[Table, ...]:
    """Tables by "STUDY" (all of it) or "STUDY:TABLE", each once."""
    found: dict[tuple[str, str], Table] = {}
    for name in names:
        study, _, one = name.partition(":")
        tables = [load(study).table(one)] if one else load(study).tables.values()
        found |= {(t.study, t.name): t for t in tables}
    return tuple(found.values())


def read(path: Path) -> Study:
    """The study in a file, checked: every row is whole, every name that is spoken of exists."""
    try:
        found = config.build(File, config.load_yaml(path))
        tables = {name: table(path.stem, name, config.build(Written, facts)) for name, facts in found.tables.items()}
        if strange := sorted({s for t in tables.values() for f in t.figures.values() for s in f.sources} - set(found.sources)):
            raise SkilldeltaError(f"nothing says what the source {strange[0]!r} is; `sources` has {', '.join(found.sources)}.")
    except SkilldeltaError as error:
        raise SkilldeltaError(f"{path} holds no published tables: {error}") from error
    return Study(path.stem, found.summary, found.sources, tables)


def table(study: str, name: str, written: Written) -> Table:
    """A table with each figure's own provenance."""
    exceptions = tuple(config.build(Provenance, e) for e in written.exceptions)
    spoken = {r for rows in (*written.groups.values(), *(e.rows for e in exceptions)) for r in rows}
    columns = {c for e in exceptions for c in e.columns} | set(written.counts)
    if strange := sorted((spoken - set(written.rows)) | (columns - set(written.columns))):
        raise SkilldeltaError(f"{name} speaks of {strange[0]!r}, which is none of its rows and columns.")
    figures = {(f.row, f.column): f for f in entries(study, name, written, exceptions)}
    return Table(study, name, written, exceptions, figures)


def entries(study: str, name: str, written: Written, exceptions: Iterable[Provenance]) -> Iterator[Figure]:
    for row, values in written.rows.items():
        if len(values) != len(written.columns):
            raise SkilldeltaError(f"{name}, {row}: {len(values)} figures for {len(written.columns)} columns.")
        for column, entry in zip(written.columns, values, strict=True):
            certainty, sources, note = written.certainty, written.sources, ""
            for e in (e for e in exceptions if e.fits(row, column)):
                certainty, sources, note = e.certainty or certainty, e.sources or sources, e.note or note
            value, state, approximate = meaning(entry, f"{name}, {row}, {column}")
            yield Figure(study, name, row, column, value, state, certainty, sources, note, approximate)


def meaning(entry: Entry, where: str) -> tuple[float | None, State, bool]:
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
