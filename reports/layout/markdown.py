"""Tables and sentences as GitHub's Markdown, with every text escaped."""

from __future__ import annotations

from collections.abc import Sequence

from harness.visible_text import escape_markdown
from reports.layout.text_tables import TextTable, numeric_columns


def markdown_table(table: TextTable) -> str:
    alignment = tuple("---:" if numeric else "---" for numeric in numeric_columns(table))
    head, *rows = ("| " + " | ".join(escape_markdown(c) for c in row) + " |" for row in (table.columns, *table.rows))
    return "\n".join([head, f"| {' | '.join(alignment)} |", *rows])


def markdown_section(table: TextTable) -> str:
    return f"## {escape_markdown(table.title)}\n\n{markdown_table(table)}"


def markdown_list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(text)}" for text in sentences)
