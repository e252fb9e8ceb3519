"""The comparison table: table.md, table.csv and table.tex."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from harness.comparison.decision import decide
from harness.visible_text import escape_cells, escape_markdown
from reports.layout import latex, published_tables, text_tables
from reports.layout.markdown import markdown_list, markdown_section

if TYPE_CHECKING:
    import pandas as pd

    from harness.comparison.result import Comparison


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes the three files; gives their paths."""
    markdown, typeset, flat = folder / "table.md", folder / "table.tex", folder / "table.csv"
    folder.mkdir(parents=True, exist_ok=True)
    markdown.write_text(markdown_document(comparison), encoding="utf-8")
    typeset.write_text(latex.latex_document(comparison, decide(comparison).sentence), encoding="utf-8")
    escape_frame(comparison.frame()).to_csv(flat, index=False, quoting=csv.QUOTE_MINIMAL, float_format="%.6g")
    return [markdown, flat, typeset]


def escape_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with no text that a spreadsheet would run."""
    texts = {str(name): escape_cells(frame[name].tolist()) for name in frame.select_dtypes(exclude="number")}
    return frame.assign(**texts)


def markdown_document(comparison: Comparison) -> str:
    """All tables as GitHub's Markdown, with their notes."""
    parts = [f"**{escape_markdown(decide(comparison).sentence)}**"]
    parts.append(f"# Compared with {escape_markdown(comparison.baseline)}")
    parts += [f"**{escape_markdown(text)}**" for text in comparison.warnings]
    parts += map(markdown_section, text_tables.all_tables(comparison))
    parts.append(markdown_list(text_tables.notes(comparison)))
    if comparison.published_tables:
        parts += map(markdown_section, published_tables.render_tables(comparison))
        parts.append(markdown_list(published_tables.source_notes(comparison)))
    return "\n\n".join(parts) + "\n"
