"""The comparison table: table.md, table.csv and table.tex."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from harness.comparison.result import Comparison
from reports import latex, published_table, text_tables
from reports.text_tables import Table


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes the three files; gives their paths."""
    found = text_tables.tables(comparison)
    markdown, typeset, flat = folder / "table.md", folder / "table.tex", folder / "table.csv"
    folder.mkdir(parents=True, exist_ok=True)
    markdown.write_text(as_markdown(comparison, found), encoding="utf-8")
    typeset.write_text(latex.document(comparison), encoding="utf-8")
    write_csv(comparison, flat)
    return [markdown, flat, typeset]


def as_markdown(comparison: Comparison, found: list[Table]) -> str:
    """All tables as GitHub's Markdown, with the foot."""
    parts = [f"# Compared with {escape(comparison.baseline)}"]
    parts += [f"**{escape(text)}**" for text in comparison.noticed]
    parts += [f"## {escape(t.title)}\n\n{markdown_table(t)}" for t in found]
    parts.append(bullets(text_tables.foot(comparison)))
    if comparison.published:
        parts += [f"## {escape(t.title)}\n\n{markdown_table(t)}" for t in published_table.tables(comparison)]
        parts.append(bullets(published_table.foot(comparison)))
    return "\n\n".join(parts) + "\n"


def bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape(text)}" for text in sentences)


def markdown_table(table: Table) -> str:
    rule = tuple("---:" if n else "---" for n in text_tables.numeric(table))
    head, *rows = (
        "| " + " | ".join(escape(c).replace("\n", "<br>") for c in row) + " |" for row in (table.columns, *table.rows)
    )
    return "\n".join([head, f"| {' | '.join(rule)} |", *rows])


def escape(text: str) -> str:
    """Text that Markdown and HTML take as text; two leading blanks become a visible indent."""
    safe = re.sub(r"([\\|`*<>\[\]])", r"\\\1", text.replace("&", "&amp;")).replace("\\[", "[").replace("\\]", "]")
    return "&nbsp;&nbsp;" + safe[2:] if safe.startswith("  ") else safe


def write_csv(comparison: Comparison, path: Path) -> None:
    """Every row with every number: comparison.json's rows, flat."""
    frame = comparison.frame()
    frame.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL, float_format="%.6g")
