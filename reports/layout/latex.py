"""Tables in LaTeX: booktabs, no wider and no longer than the page, long names on several lines, notes beneath."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.visible_text import show_controls
from reports.layout import published_tables, text_tables
from reports.layout.labels import BREAK

if TYPE_CHECKING:
    from harness.comparison.result import Comparison
    from reports.layout.text_tables import TextTable

PREAMBLE_NOTE = r"% needs \usepackage{booktabs,amssymb,makecell,adjustbox}"
LINE_BREAK = r"\\"
MAX_ROWS = 12  # of one float: rows of three lines, on the smallest usual page
MAX_ROWS_WITH_NOTES = 6  # beyond, the notes have a float of their own
NAME_WIDTH = 26  # letters of a line of a name: longer lines would shrink the numbers until nobody can read them
# Brackets and stars in braces: after a line break, LaTeX would read a bare one as the space to leave, or as a kind of break.
ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}", "<": "$<$", ">": "$>$", "[": "{[}",
    "]": "{]}", "*": "{*}",
    "▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$", "·": r"$\cdot$", "−": "$-$", "—": "---", "–": "--",
    "≈": r"$\approx$", "±": r"$\pm$", "×": r"$\times$", "→": r"$\to$", "≤": r"$\le$", "≥": r"$\ge$", "…": r"\ldots{}",
    "“": "``", "”": "''", "‘": "`", "’": "'", "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}",
    "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ı": r"\i{}", "§": r"\S{}", "\n": " ", "\t": " ",
}  # fmt: skip
# Accents by the combining character that they are decomposed into.
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
LIGATURES = ("--", "''", "``", "?`", "!`")  # TeX's fonts join these to another character, such as a dash
CODE_POINT_NOTE = "Letters that pdfLaTeX has no font for are written as code points, such as U+57FA."


def latex_document(comparison: Comparison, headline: str) -> str:
    """The matrix and each published table; the published tables' notes follow the last one."""
    title = f"Scores, and differences from {comparison.baseline}"
    matrix = replace(text_tables.score_matrix(comparison, tall=True), title=title)
    parts = [PREAMBLE_NOTE, latex_table(matrix, [headline, *text_tables.notes(comparison)])]
    tables = published_tables.render_tables(comparison)
    sources = published_tables.source_notes(comparison)
    parts += [latex_table(table, sources if table is tables[-1] else ()) for table in tables]
    if "U+" in parts[1]:
        parts.insert(1, f"% {CODE_POINT_NOTE}")
    return "\n\n".join(parts) + "\n"


def latex_table(table: TextTable, notes: Sequence[str] = ()) -> str:
    """The table as one float, or as several where it is longer than a page; then the notes in one of their own."""
    rows = table.rows
    if len(rows) <= MAX_ROWS_WITH_NOTES or (len(rows) <= MAX_ROWS and not notes):
        return latex_float(table, notes)
    parts = [replace(table, rows=rows[start : start + MAX_ROWS]) for start in range(0, len(rows), MAX_ROWS)]
    more = [replace(part, title=f"{table.title} (continued)") for part in parts[1:]]
    floats = [latex_float(part) for part in (parts[0], *more)]
    if notes:
        floats.append("\n".join([r"\begin{table}", *small_print(notes), r"\end{table}"]))
    return "\n\n".join(floats)


def small_print(notes: Sequence[str]) -> list[str]:
    return [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {escape_latex(text)}}}" for text in notes]


def latex_float(table: TextTable, notes: Sequence[str] = ()) -> str:
    tall = any("\n" in cell for row in table.rows for cell in row)
    between = "\n\\addlinespace\n" if tall else "\n"
    body = between.join(latex_row([latex_name(row[0]), *map(latex_cell, row[1:])]) for row in table.rows)
    lines = [
        r"\begin{table}", r"\centering", r"\small", rf"\caption{{{escape_latex(table.title)}}}",
        r"\begin{adjustbox}{max width=\linewidth}", rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule", latex_row([*map(escape_latex, table.columns)]), r"\midrule", body, r"\bottomrule",
        r"\end{tabular}", r"\end{adjustbox}", *small_print(notes), r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines)


def latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + LINE_BREAK


def latex_name(text: str) -> str:
    """A name on lines of at most NAME_WIDTH letters, broken where a reader would."""
    lines = [""]
    for piece in name_pieces(text):
        if lines[-1] and typeset_width(lines[-1] + piece.rstrip()) > NAME_WIDTH:
            lines.append("")
        lines[-1] += piece
    lines = [escape_latex(line.strip()) for line in lines]
    return rf"\makecell[tl]{{{LINE_BREAK.join(lines)}}}" if len(lines) > 1 else escape_latex(text)


def name_pieces(text: str) -> Iterator[str]:
    """What must stay together: words with the sign after them; the letters of a word that no line holds."""
    for word in BREAK.split(text):
        yield from [word] if typeset_width(word.rstrip()) <= NAME_WIDTH else word


def typeset_width(text: str) -> int:
    """How many letters a text takes: one that is written as a code point takes several."""
    return sum(len(latex) if (latex := latex_character(c)).startswith("U+") else 1 for c in text)


def latex_cell(text: str) -> str:
    """Lines under each other, flush right; an interval in small print."""
    lines = [rf"{{\scriptsize {escape_latex(t)}}}" if t.startswith("[") else escape_latex(t) for t in text.split("\n")]
    return rf"\makecell[tr]{{{LINE_BREAK.join(lines)}}}" if len(lines) > 1 else lines[0]


def escape_latex(text: str) -> str:
    """Text that pdfLaTeX typesets with its own fonts: in ASCII alone, other letters with their accents or as code points."""
    shown = unicodedata.normalize("NFC", show_controls(text))
    pairs = zip(" " + shown, shown, strict=False)
    return "".join("{}" * (a + b in LIGATURES) + latex_character(b) for a, b in pairs)


def latex_character(character: str) -> str:
    if character in ESCAPES:
        return ESCAPES[character]
    if character.isascii():
        return character
    letters = unicodedata.normalize("NFD", character)
    base, marks = letters[0], letters[1:]
    if base.isascii() and marks in ACCENTS:
        return rf"\{ACCENTS[marks]}{{{base}}}"
    simple = unicodedata.normalize("NFKC", character)  # a wide, raised or joined form of other letters
    return escape_latex(simple) if simple.isascii() else f"U+{ord(character):04X} "
