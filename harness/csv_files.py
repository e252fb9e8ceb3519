"""CSV files, for spreadsheets and terminals: a text that one of them would act upon stays a text."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.visible_text import escape_cells


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> Path:
    """The names of the columns, then a line for each row; gives the path.  What UTF-8 cannot write becomes an escape."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow(escape_cells(list(columns)))
        writer.writerows(map(escape_cells, rows))
    return path
