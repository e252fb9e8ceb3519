"""Published figures as tables for every view, marked as other models' and not tested, with the notes on their sources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness import published
from harness.comparison.number_format import ABSENT, format_number
from reports.layout.text_tables import TextTable, matrix_columns

if TYPE_CHECKING:
    from harness.comparison.result import Comparison

CERTAINTY_LETTERS = {"high": "H", "medium-high": "MH", "medium": "M", "low": "L"}
READING_GUIDE = (
    "Published figures describe other models. They are shown next to yours, never paired with them nor tested against them. "
    "Certainty: H two independent sources or more, MH one whose averages come out exactly, M one decent source, L inferred or "
    "read off a chart (≈); nf: in the study, but not found; —: the study has none."
)


def render_tables(comparison: Comparison) -> list[TextTable]:
    """Each published table with the comparison's own columns first, in their order; then its further columns."""
    own = [name for _, name in matrix_columns(comparison)]
    return [render_table(table, own) for table in comparison.published_tables]


def render_table(table: published.PublishedTable, own: list[str]) -> TextTable:
    content = table.layout
    common = [c for c in own if c in content.columns]
    columns = common + [c for c in content.columns if c not in own]
    title = f"Published, other models ({table.study}). {content.title}"
    rows = tuple((row, *(figure_cell(table, row, c) for c in columns)) for row in content.rows)
    return TextTable(title, ("published", *columns), rows)


def figure_cell(table: published.PublishedTable, row: str, column: str) -> str:
    """A figure with the letter of its certainty."""
    figure = table.figure(row, column)
    if figure.value is None:
        return "nf" if figure.state == "not found" else ABSENT
    if column in table.layout.counts:
        text = f"{figure.value:,.0f}"
    elif figure.approximate:
        text = f"≈{figure.value:g}"
    else:
        text = format_number(figure.value, signed=table.layout.differences)
    return f"{text} {CERTAINTY_LETTERS[figure.certainty]}"


def source_notes(comparison: Comparison) -> list[str]:
    """How to read published figures, the origin of each table, and the sources."""
    if not comparison.published_tables:
        return []
    studies = [published.load_study(name) for name in dict.fromkeys(t.study for t in comparison.published_tables)]
    origins = map(table_origin, comparison.published_tables)
    return [READING_GUIDE, *origins, *(describe_study(study, comparison) for study in studies)]


def describe_study(study: published.PublishedStudy, comparison: Comparison) -> str:
    """A study's summary, and those of its sources that the comparison's tables rest on."""
    keys = {s for t in comparison.published_tables if t.study == study.name for f in t.figures.values() for s in f.sources}
    sources = "; ".join(f"{key}: {text}" for key, text in study.sources.items() if key in keys)
    return f"{study.name} is {study.summary}. Sources: {sources}."


def table_origin(table: published.PublishedTable) -> str:
    """Where a table's figures come from, in one sentence."""
    content = table.layout
    origin = f"{table.name}: {CERTAINTY_LETTERS[content.certainty]}, {', '.join(content.sources)}"
    return "; ".join([origin, *exceptions(table)]) + "." + (f" {content.caption}" if content.caption else "")


def exceptions(table: published.PublishedTable) -> Iterator[str]:
    """The figures of a table that come from elsewhere than the rest."""
    for e in table.exceptions:
        where = " of ".join(", ".join(names) for names in (e.columns, e.rows) if names) or "all"
        certainty = [CERTAINTY_LETTERS[e.certainty]] if e.certainty else []
        yield f"{where}: {', '.join([*certainty, *e.sources, *([e.note] if e.note else [])])}"
