"""What the verbs print: tables and JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from harness.visible_text import show_controls


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
    """A table as wide as the terminal; `right` names the columns that hold numbers."""
    import shutil

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 160
    heading = Text(show_controls(title), "italic") if title else None
    grid = Table(title=heading, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        grid.add_column(Text(show_controls(name)), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(show_controls(cell)) for cell in row))  # Text: a model's words are never markup
    Console(width=width, highlight=False).print(grid)
