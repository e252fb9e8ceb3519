"""Published figures of other models, as published.csv."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.csv_files import write_csv

if TYPE_CHECKING:
    from harness.comparison.result import Comparison
    from harness.published import Figure

COLUMNS = ("study", "table", "row", "column", "value", "approximate", "state", "certainty", "sources", "note")


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes a line for each figure; nothing where the comparison has no published tables."""
    if not comparison.published_tables:
        return []
    figures = (figure for table in comparison.published_tables for figure in table.figures.values())
    return [write_csv(folder / "published.csv", COLUMNS, map(csv_row, figures))]


def csv_row(figure: Figure) -> tuple[str, ...]:
    value = "" if figure.value is None else f"{figure.value:.10g}"
    cells = figure.__dict__ | {"value": value, "sources": " ".join(figure.sources), "approximate": int(figure.approximate)}
    return tuple(str(cells[name]) for name in COLUMNS)
