"""The tables of the page beneath its plots, each behind its heading: the best, metrics, health, published figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reports.layout import published_tables, text_tables
from reports.layout.page_frame import escape_html

if TYPE_CHECKING:
    from harness.comparison.result import Comparison
    from reports.layout.text_tables import TextTable

MAX_OPEN_ROWS = 12  # a table of at most so many rows is shown at once


def render_sections(comparison: Comparison) -> str:
    """Every table but the matrix and the details, as HTML.  Only the markup of this module is markup in it."""
    optional = (
        *(text_tables.best_table(comparison), text_tables.metrics_table(comparison)),
        *(text_tables.termination_table(comparison), text_tables.health_table(comparison)),
    )
    tables = [table for table in optional if table]
    heading = ["<h2>More tables</h2>"] if tables else []
    parts = [*heading, *(fold_table(t, len(t.rows) <= MAX_OPEN_ROWS) for t in tables), *published_section(comparison)]
    return "".join(parts)


def published_section(comparison: Comparison) -> Iterator[str]:
    """Published tables, open where there is only one, and the sources of their figures."""
    tables = published_tables.render_tables(comparison)
    if tables:
        yield "<h2>Published figures of other models</h2>"
        yield from (fold_table(t, len(tables) == 1) for t in tables)
        sources = "".join(f"<li>{escape_html(text)}</li>" for text in published_tables.source_notes(comparison))
        yield f'<ul class="quiet">{sources}</ul>'


def fold_table(table: TextTable, is_open: bool) -> str:
    """A table that its heading opens and closes."""
    numeric = text_tables.numeric_columns(table)
    head = html_row("th", table.columns, numeric)
    body = "".join(html_row("td", cells, numeric) for cells in table.rows)
    size = f'<span class="quiet">{len(table.rows)} row{"s" * (len(table.rows) != 1)}</span>'
    return (
        f"<details{' open' * is_open}><summary>{escape_html(table.title)} {size}</summary>"
        f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div></details>\n'
    )


def html_row(tag: str, cells: Sequence[str], numeric: Sequence[bool]) -> str:
    classes = ("" if is_number else " class=text" for is_number in numeric)
    lines = (escape_html(cell).replace("\n", "<br>") for cell in cells)
    return f"<tr>{''.join(f'<{tag}{name}>{text}</{tag}>' for text, name in zip(lines, classes, strict=True))}</tr>"
