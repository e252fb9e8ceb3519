"""The comparison table: table.md, table.csv and table.tex."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from harness.comparison.result import Comparison
from reports import grid
from reports.grid import Table

LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
         "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$",
         "·": r"$\cdot$", "−": "$-$", "—": "---"}  # fmt: skip


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes the three files; gives their paths."""
    found = grid.tables(comparison)
    markdown, latex, flat = folder / "table.md", folder / "table.tex", folder / "table.csv"
    folder.mkdir(parents=True, exist_ok=True)
    markdown.write_text(as_markdown(comparison, found), encoding="utf-8")
    latex.write_text(as_latex(comparison, found[0]), encoding="utf-8")
    write_csv(comparison, flat)
    return [markdown, flat, latex]


def as_markdown(comparison: Comparison, found: list[Table]) -> str:
    """All tables as GitHub's Markdown, with the foot."""
    parts = [f"# Compared with {escape(comparison.baseline)}"]
    parts += [f"**{escape(text)}**" for text in comparison.noticed]
    parts += [f"## {escape(t.title)}\n\n{markdown_table(t)}" for t in found]
    parts.append("\n".join(f"- {escape(text)}" for text in grid.foot(comparison)))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return "\n".join("| " + " | ".join(escape(c).replace("\n", "<br>") for c in row) + " |" for row in lines)


def escape(text: str) -> str:
    """Text that Markdown and HTML take as text; two leading blanks become a visible indent."""
    safe = re.sub(r"([\\|`*<>\[\]])", r"\\\1", text.replace("&", "&amp;")).replace("\\[", "[").replace("\\]", "]")
    return "&nbsp;&nbsp;" + safe[2:] if safe.startswith("  ") else safe


def as_latex(comparison: Comparison, table: Table) -> str:
    """The matrix as a booktabs table (needs \\usepackage{booktabs,amssymb,makecell})."""
    body = [" & ".join(f"\\makecell[r]{{{tex(c)}}}" if i else tex(c) for i, c in enumerate(row)) + r" \\" for row in table.rows]
    head = " & ".join(tex(c) for c in table.columns) + r" \\"
    columns = "l" + "r" * (len(table.columns) - 1)
    foot = " ".join(tex(text) for text in grid.foot(comparison))
    begin = [
        r"% needs \usepackage{booktabs,amssymb,makecell}",
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{{columns}}}",
    ]
    end = [r"\bottomrule", r"\end{tabular}", rf"\caption{{{foot}}}", r"\end{table}"]
    lines = [*begin, r"\toprule", head, r"\midrule", *body, *end]
    return "\n".join(lines) + "\n"


def tex(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in text).replace("\n", r"\\")


def write_csv(comparison: Comparison, path: Path) -> None:
    """Every row with every number: comparison.json's rows, flat."""
    frame = comparison.frame()
    frame.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL, float_format="%.6g")
