"""Published figures beside one's own: published.csv, and tables for every view, marked as other models' and not tested."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from harness import published
from harness.comparison.result import Comparison
from harness.published import Figure
from reports import text_tables
from reports.text_tables import Table

LETTERS = {"high": "H", "medium-high": "MH", "medium": "M", "low": "L"}
READING = (
    "Published figures are about other models: beside one's own, never paired with them nor tested against them. Certainty: "
    "H two independent sources or more, MH one whose averages come out exactly, M one decent source, L inferred or read "
    "off a chart (≈); nf: in the study, but not found; —: the study has none."
)
COLUMNS = ("study", "table", "row", "column", "value", "approximate", "state", "certainty", "sources", "note")


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes published.csv, a line for each figure; nothing where no study was asked for."""
    if not comparison.published:
        return []
    path = folder / "published.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(flat(f) for table in comparison.published for f in table.figures.values())
    return [path]


def flat(figure: Figure) -> tuple[str, ...]:
    value = "" if figure.value is None else f"{figure.value:.10g}"
    whole = figure.__dict__ | {"value": value, "sources": " ".join(figure.sources), "approximate": int(figure.approximate)}
    return tuple(str(whole[name]) for name in COLUMNS)


def tables(comparison: Comparison) -> list[Table]:
    """Each published table with one's own columns first, in their order; then what else it has."""
    own = [name for _, name in text_tables.names(comparison)]
    return [table(one, own) for one in comparison.published]


def table(one: published.Table, own: list[str]) -> Table:
    theirs = one.written.columns
    shared = [c for c in own if c in theirs]
    columns = shared + [c for c in theirs if c not in own]
    title = f"Published, other models ({one.study}). {one.written.title}"
    rows = tuple((row, *(cell(one, row, c) for c in columns)) for row in one.written.rows)
    return Table(title, ("published", *columns), rows)


def cell(one: published.Table, row: str, column: str) -> str:
    """A figure with the letter of its certainty."""
    figure = one.figure(row, column)
    if figure.value is None:
        return "nf" if figure.state == "not found" else "—"
    if column in one.written.counts:
        text = f"{figure.value:,.0f}"
    elif figure.approximate:
        text = f"≈{figure.value:g}"
    else:
        text = text_tables.number(figure.value, signed=one.written.differences)
    return f"{text} {LETTERS[figure.certainty]}"


def foot(comparison: Comparison) -> list[str]:
    """How to read published figures, where each comes from, and what the sources are."""
    if not comparison.published:
        return []
    names = dict.fromkeys(t.study for t in comparison.published)
    return [READING, *map(origin, comparison.published), *(about(comparison, published.load(name)) for name in names)]


def about(comparison: Comparison, study: published.Study) -> str:
    """What a study is, and the sources of what is shown of it."""
    used = {s for t in comparison.published if t.study == study.name for f in t.figures.values() for s in f.sources}
    told = "; ".join(f"{key}: {what}" for key, what in study.sources.items() if key in used)
    return f"{study.name} is {study.summary}. Sources: {told}."


def origin(one: published.Table) -> str:
    """Where a table's figures come from, in one sentence."""
    written = one.written
    parts = [f"{one.name}: {LETTERS[written.certainty]}, {', '.join(written.sources)}", *differing(one)]
    return "; ".join(parts) + "." + (f" {written.caption}" if written.caption else "")


def differing(one: published.Table) -> Iterator[str]:
    """The figures that come from elsewhere."""
    for e in one.exceptions:
        where = " of ".join(", ".join(names) for names in (e.columns, e.rows) if names) or "all"
        told = [LETTERS[e.certainty]] if e.certainty else []
        yield f"{where}: {', '.join([*told, *e.sources, *([e.note] if e.note else [])])}"
