"""What the verbs print: tables and JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from harness.visible_text import show_controls

FILE_WIDTH = 160  # of a table that goes into a file or to another program
GAP = 2  # blanks between two columns


def say(text: str) -> None:
    sys.stdout.write(show_controls(text) + "\n")


def note(text: str) -> None:
    sys.stderr.write(show_controls(text) + "\n")
    sys.stderr.flush()


def fail(text: str, code: int) -> int:
    """Prints an error and returns the exit code."""
    note(f"skilldelta: {text}")
    return code


def print_json(value: Any) -> None:
    say(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", right: Sequence[str] = ()) -> None:
    """A table as wide as the terminal, or as COLUMNS says; `right` names the columns that hold numbers.

    The first column has the names, which people copy: it stays whole up to half of the width.
    """
    import shutil

    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size((120 if sys.stdout.isatty() else FILE_WIDTH, 24)).columns
    grid = Table(
        title=Text(show_controls(title), "italic") if title else None,
        title_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
    )
    cells = [(name, *(row[place] for row in rows)) for place, name in enumerate(columns)]
    longest = [max(cell_len(line) for cell in column for line in show_controls(cell).split("\n")) for column in cells]
    for name, size in zip(columns, share_width(longest, width - GAP * (len(columns) - 1)), strict=True):
        heading = Text(show_controls(name))
        grid.add_column(heading, justify="right" if name in right else "left", overflow="fold", width=size)
    for row in rows:
        grid.add_row(*(Text(show_controls(cell)) for cell in row))  # Text: a model's words are never markup
    console = Console(width=width, highlight=False)
    with console.capture() as lines:
        console.print(grid)
    sys.stdout.write("\n".join(line.rstrip() for line in lines.get().split("\n")))  # no blanks up to the edge


def share_width(longest: Sequence[int], width: int) -> list[int]:
    """How wide each column is, 1 or more: as its longest cell, or, where that is too much, as one bound for all wide ones.

    The first column has its own width up to half of all.
    """
    first = min(longest[0], max(width // 2, 1)) if sum(longest) > width else longest[0]
    left, sizes = width - first, {0: first}
    for count, place in enumerate(sorted(range(1, len(longest)), key=longest.__getitem__)):
        share = left // (len(longest) - 1 - count)
        sizes[place] = max(min(longest[place], share), 1)
        left -= sizes[place]
    return [sizes[place] for place in range(len(longest))]
