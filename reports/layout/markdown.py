"""Tables and sentences as GitHub's Markdown, with every text escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.layout.text_tables import TextTable, numeric_columns


def escape_markdown(text: str) -> str:
    """Text that Markdown and HTML show as it is; two leading blanks become a visible indent."""
    safe = re.sub(r"([\\|`*<>\[\]])", r"\\\1", text.replace("&", "&amp;")).replace("\\[", "[").replace("\\]", "]")
    return "&nbsp;&nbsp;" + safe[2:] if safe.startswith("  ") else safe


def markdown_table(table: TextTable) -> str:
    alignment = tuple("---:" if numeric else "---" for numeric in numeric_columns(table))
    head, *rows = (
        "| " + " | ".join(escape_markdown(c).replace("\n", "<br>") for c in row) + " |" for row in (table.columns, *table.rows)
    )
    return "\n".join([head, f"| {' | '.join(alignment)} |", *rows])


def markdown_section(table: TextTable) -> str:
    return f"## {escape_markdown(table.title)}\n\n{markdown_table(table)}"


def markdown_list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(text)}" for text in sentences)
