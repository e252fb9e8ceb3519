"""The comparison table: table.md, table.csv and table.tex."""

from __future__ import annotations

import csv
from pathlib import Path

from harness.comparison.result import Comparison
from reports.layout import latex, published_tables, text_tables
from reports.layout.markdown import escape_markdown, markdown_list, markdown_section


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes the three files; gives their paths."""
    markdown, typeset, flat = folder / "table.md", folder / "table.tex", folder / "table.csv"
    folder.mkdir(parents=True, exist_ok=True)
    markdown.write_text(markdown_document(comparison), encoding="utf-8")
    typeset.write_text(latex.latex_document(comparison), encoding="utf-8")
    comparison.frame().to_csv(flat, index=False, quoting=csv.QUOTE_MINIMAL, float_format="%.6g")
    return [markdown, flat, typeset]


def markdown_document(comparison: Comparison) -> str:
    """All tables as GitHub's Markdown, with their notes."""
    parts = [f"# Compared with {escape_markdown(comparison.baseline)}"]
    parts += [f"**{escape_markdown(text)}**" for text in comparison.warnings]
    parts += map(markdown_section, text_tables.all_tables(comparison))
    parts.append(markdown_list(text_tables.notes(comparison)))
    if comparison.published_tables:
        parts += map(markdown_section, published_tables.render_tables(comparison))
        parts.append(markdown_list(published_tables.source_notes(comparison)))
    return "\n\n".join(parts) + "\n"
