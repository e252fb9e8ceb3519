"""What the verbs print: tables and JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from harness.visible_text import show_controls

FILE_WIDTH = 160  # of a table that goes into a file or to another program
GAP = 2  # blanks between two columns
BREAKABLE = 7  # letters: longer words break before names get less than half of the width
MAX_WHOLE_WORD = 14  # letters: a table of which such words would break stands as several, one beneath the other


def say(text: str) -> None:
    sys.stdout.write(show_controls(text) + "\n")


def say_sentences(text: str) -> None:
    """Prints a text, on a terminal with its lines broken between words."""
    import textwrap

    if sys.stdout.isatty():
        text = textwrap.fill(text, screen_width(), break_long_words=False, break_on_hyphens=False)
    say(text)


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
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = screen_width()
    grid = Table(
        title=Text(show_controls(title), "italic") if title else None,
        title_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
    )
    longest, words = measure_columns(columns, rows)
    for name, size in zip(columns, share_width(longest, words, width - GAP * (len(columns) - 1)), strict=True):
        heading = Text(show_controls(name))
        grid.add_column(heading, justify="right" if name in right else "left", overflow="fold", width=size)
    for row in rows:
        grid.add_row(*(Text(show_controls(cell)) for cell in row))  # Text: a model's words are never markup
    console = Console(width=width, highlight=False)
    with console.capture() as lines:
        console.print(grid)
    sys.stdout.write("\n".join(line.rstrip() for line in lines.get().split("\n")))  # no blanks up to the edge


def screen_width() -> int:
    """Of the terminal, or as COLUMNS says."""
    import shutil

    return shutil.get_terminal_size((120 if sys.stdout.isatty() else FILE_WIDTH, 24)).columns


def measure_columns(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[int], list[int]]:
    """The width of each column's longest line, and that of its longest word."""
    from rich.cells import cell_len

    cells = [(name, *(row[place] for row in rows)) for place, name in enumerate(columns)]
    longest = [max(cell_len(line) for cell in column for line in show_controls(cell).split("\n")) for column in cells]
    words = [max(cell_len(word) for cell in column for word in [*show_controls(cell).split(), ""]) for column in cells]
    return longest, words


def print_wide_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", right: Sequence[str] = ()) -> None:
    """As print_table(); as several tables with the first column in each, where words would break in one."""
    groups = group_columns(*measure_columns(columns, rows), screen_width())
    for number, group in enumerate(groups):
        places = [0, *group]
        if number:
            say("")
        block = [[row[place] for place in places] for row in rows]
        print_table([columns[place] for place in places], block, "" if number else title, right)


def group_columns(longest: Sequence[int], words: Sequence[int], width: int) -> list[list[int]]:
    """The columns but the first, in groups of which each fits beside the first one without a break in a word."""
    groups: list[list[int]] = [[]]
    names = min(longest[0], width // 2)
    used_width = names
    for place, word in enumerate(words[1:], start=1):
        column_width = GAP + min(word, MAX_WHOLE_WORD)
        if groups[-1] and used_width + column_width > width:
            groups.append([])
            used_width = names
        groups[-1].append(place)
        used_width += column_width
    return groups


def share_width(longest: Sequence[int], words: Sequence[int], width: int) -> list[int]:
    """How wide each column is, 1 or more: as its longest cell, or, where that is too much, as one bound for all wide ones.

    The first column has its own width up to half of all, and of the `words` (the longest of each column) the longest break
    first.
    """
    # Half of the width for names, a third where words of more than 7 letters would break beside them, and so on.
    longest_word = max(words)
    bounds = [(part, size) for part in (2, 3, 4) for size in range(longest_word, min(BREAKABLE, longest_word) - 1, -1)]
    for part, largest in [*bounds, *((4, size) for size in range(BREAKABLE, 0, -1))]:
        least = [min(longest[0], max(width // part, 1)), *(min(word, largest) for word in words[1:])]
        if sum(least) <= width:
            break
    else:
        least = [1 for _ in words]
    for bound in range(max(longest), 0, -1):
        sizes = [max(low, min(wish, bound)) for wish, low in zip(longest, least, strict=True)]
        if sum(sizes) <= width:
            return sizes
    return least
