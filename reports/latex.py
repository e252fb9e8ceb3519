"""Tables in LaTeX: booktabs, no wider than the page, notes beneath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.comparison.result import Comparison
from reports import published_table, text_tables
from reports.text_tables import Table

NEEDS = r"% needs \usepackage{booktabs,amssymb,makecell,adjustbox}"
BREAK = r"\\"
# Brackets in braces: after a line break, LaTeX would read a bare one as the space to leave.
SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}", "<": "$<$", ">": "$>$", "[": "{[}", "]": "{]}",
    "▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$", "·": r"$\cdot$", "−": "$-$", "—": "---", "≈": r"$\approx$",
}  # fmt: skip


def document(comparison: Comparison) -> str:
    """The matrix, and each published table beside it."""
    matrix = replace(text_tables.matrix(comparison, tall=True), title=f"Scores, and differences from {comparison.baseline}")
    parts = [NEEDS, table(matrix, text_tables.foot(comparison))]
    beside = published_table.tables(comparison)
    parts += [table(t, published_table.foot(comparison) if t is beside[-1] else ()) for t in beside]
    return "\n\n".join(parts) + "\n"


def table(shown: Table, foot: Sequence[str]) -> str:
    tall = any("\n" in cell for row in shown.rows for cell in row)
    between = "\n\\addlinespace\n" if tall else "\n"
    body = between.join(line([tex(row[0]), *map(cell, row[1:])]) for row in shown.rows)
    notes = [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {tex(text)}}}" for text in foot]
    lines = [
        r"\begin{table}", r"\centering", r"\small", rf"\caption{{{tex(shown.title)}}}",
        r"\begin{adjustbox}{max width=\linewidth}", rf"\begin{{tabular}}{{l{'r' * (len(shown.columns) - 1)}}}",
        r"\toprule", line([*map(tex, shown.columns)]), r"\midrule", body, r"\bottomrule",
        r"\end{tabular}", r"\end{adjustbox}", *notes, r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines)


def line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + BREAK


def cell(text: str) -> str:
    """Lines under each other, flush right; an interval in small print."""
    lines = [rf"{{\scriptsize {tex(t)}}}" if t.startswith("[") else tex(t) for t in text.split("\n")]
    return rf"\makecell[tr]{{{BREAK.join(lines)}}}" if len(lines) > 1 else lines[0]


def tex(text: str) -> str:
    return "".join(SIGNS.get(c, c) for c in text)
