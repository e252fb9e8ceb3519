"""The rows that were asked about, next to the samples: RESULTS/_examples/<task>.jsonl, each by its example's hash."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path

from harness.atomic_files import remove_halves, write_bytes
from harness.bounded_files import read_bytes
from harness.json_lines import encode_lines, read_lines
from harness.types import Example, Json, SkilldeltaError
from harness.visible_text import printable

MAX_BYTES = 1 << 34  # of the rows of one task


def read_rows(path: Path) -> dict[str, Json]:
    """The rows in a file by example; {} where there is none.  SkilldeltaError for a damaged one."""
    return parse_rows(path, read_bytes(path, MAX_BYTES)) if os.path.lexists(path) else {}


def parse_rows(path: Path, content: bytes) -> dict[str, Json]:
    """The rows in a file's content."""
    try:
        return {str(line["example"]): dict(line["row"]) for _, line in read_lines(io.BytesIO(content))}
    except (ValueError, TypeError, KeyError) as error:
        reason = printable(f"{type(error).__name__}: {error}")[:300]
        raise SkilldeltaError(f"{path} is damaged ({reason}).  Delete it: the next `score` writes its rows anew.") from error


def add_rows(path: Path, examples: Iterable[Example]) -> None:
    """Stores the examples' rows, each once: a row that is there stays as it is.  For the holder of the folder's lock."""
    remove_halves(path)
    content = read_bytes(path, MAX_BYTES) if os.path.lexists(path) else b""
    old_rows = parse_rows(path, content)
    new = {e.id: e for e in examples if e.id not in old_rows}
    if new:
        write_bytes(path, content + encode_lines({"example": key, "row": dict(e.row)} for key, e in new.items()))
