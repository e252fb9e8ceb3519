"""The tables of the page beneath its plots, each behind its heading: what was best, published figures, metrics, health."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from harness.comparison.result import Comparison
from reports import published_table, text_tables
from reports.text_tables import Table

FEW = 12  # rows: so short a table is shown at once


def tables(comparison: Comparison) -> str:
    """Every table that is no matrix and no forest, as HTML in which nothing but what is written here is markup."""
    shown = [t for t in (text_tables.best(comparison), text_tables.extras(comparison), text_tables.health(comparison)) if t]
    head = ["<h2>More tables</h2>"] if shown else []
    return "".join([*head, *(folded(t, len(t.rows) <= FEW) for t in shown), *beside(comparison)])


def beside(comparison: Comparison) -> Iterator[str]:
    """Published tables, the only one opened, and where their figures come from."""
    found = published_table.tables(comparison)
    if found:
        yield "<h2>Published figures of other models</h2>"
        yield from (folded(t, len(found) == 1) for t in found)
        yield f'<ul class="quiet">{"".join(f"<li>{html.escape(text)}</li>" for text in published_table.foot(comparison))}</ul>'


def folded(table: Table, opened: bool) -> str:
    """A table that its heading opens and closes."""
    head = row("th", table.columns, aligned := text_tables.numeric(table))
    body = "".join(row("td", cells, aligned) for cells in table.rows)
    size = f'<span class="quiet">{len(table.rows)} row{"s" * (len(table.rows) != 1)}</span>'
    return (
        f"<details{' open' * opened}><summary>{html.escape(table.title)} {size}</summary>"
        f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div></details>\n'
    )


def row(tag: str, cells: Sequence[str], numeric: Sequence[bool]) -> str:
    looks = ("" if n else " class=text" for n in numeric)
    return f"<tr>{''.join(f'<{tag}{look}>{text(c)}</{tag}>' for c, look in zip(cells, looks, strict=True))}</tr>"


def text(cell: str) -> str:
    return html.escape(cell).replace("\n", "<br>")
