"""Tables in LaTeX: booktabs, no wider than the page, notes beneath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.comparison.result import Comparison
from reports.layout import published_tables, text_tables
from reports.layout.text_tables import TextTable

PREAMBLE_NOTE = r"% needs \usepackage{booktabs,amssymb,makecell,adjustbox}"
LINE_BREAK = r"\\"
# Brackets in braces: after a line break, LaTeX would read a bare one as the space to leave.
ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}", "<": "$<$", ">": "$>$", "[": "{[}", "]": "{]}",
    "▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$", "·": r"$\cdot$", "−": "$-$", "—": "---", "≈": r"$\approx$",
}  # fmt: skip


def latex_document(comparison: Comparison) -> str:
    """The matrix and each published table; the published tables' notes follow the last one."""
    title = f"Scores, and differences from {comparison.baseline}"
    matrix = replace(text_tables.score_matrix(comparison, tall=True), title=title)
    parts = [PREAMBLE_NOTE, latex_table(matrix, text_tables.notes(comparison))]
    tables = published_tables.render_tables(comparison)
    sources = published_tables.source_notes(comparison)
    parts += [latex_table(table, sources if table is tables[-1] else ()) for table in tables]
    return "\n\n".join(parts) + "\n"


def latex_table(table: TextTable, notes: Sequence[str] = ()) -> str:
    tall = any("\n" in cell for row in table.rows for cell in row)
    between = "\n\\addlinespace\n" if tall else "\n"
    body = between.join(latex_row([escape_latex(row[0]), *map(latex_cell, row[1:])]) for row in table.rows)
    small_print = [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {escape_latex(text)}}}" for text in notes]
    lines = [
        r"\begin{table}", r"\centering", r"\small", rf"\caption{{{escape_latex(table.title)}}}",
        r"\begin{adjustbox}{max width=\linewidth}", rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule", latex_row([*map(escape_latex, table.columns)]), r"\midrule", body, r"\bottomrule",
        r"\end{tabular}", r"\end{adjustbox}", *small_print, r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines)


def latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + LINE_BREAK


def latex_cell(text: str) -> str:
    """Lines under each other, flush right; an interval in small print."""
    lines = [rf"{{\scriptsize {escape_latex(t)}}}" if t.startswith("[") else escape_latex(t) for t in text.split("\n")]
    return rf"\makecell[tr]{{{LINE_BREAK.join(lines)}}}" if len(lines) > 1 else lines[0]


def escape_latex(text: str) -> str:
    return "".join(ESCAPES.get(character, character) for character in text)
