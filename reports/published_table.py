"""Published figures of other models, as published.csv."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from harness.visible_text import escape_formulas

if TYPE_CHECKING:
    from harness.comparison.result import Comparison
    from harness.published import Figure

COLUMNS = ("study", "table", "row", "column", "value", "approximate", "state", "certainty", "sources", "note")


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes a line for each figure; nothing where the comparison has no published tables."""
    if not comparison.published_tables:
        return []
    path = folder / "published.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(escape_formulas(csv_row(f)) for table in comparison.published_tables for f in table.figures.values())
    return [path]


def csv_row(figure: Figure) -> tuple[str, ...]:
    value = "" if figure.value is None else f"{figure.value:.10g}"
    cells = figure.__dict__ | {"value": value, "sources": " ".join(figure.sources), "approximate": int(figure.approximate)}
    return tuple(str(cells[name]) for name in COLUMNS)
