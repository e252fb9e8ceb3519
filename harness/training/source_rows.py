"""The rows of a source of training data as they come: a file, or a data set of the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data import DataSource, hub_rows, read
from harness.types import Json, SkilldeltaError, digest


def raw_rows(name: str) -> tuple[Sequence[Json], str]:
    """The rows of a file, or of `hub:NAME` or `hub:NAME:SPLIT`, with a hash of their content."""
    if name.startswith("hub:"):
        hub, _, split = name.removeprefix("hub:").partition(":")
        rows = list(hub_rows(DataSource(hub, "", (), split=split or "train")))
        return rows, digest(rows, 64)
    path = Path(name)
    if not path.is_file():
        raise SkilldeltaError(f"There is no data file {name}.  Rows of the Hub are named hub:NAME or hub:NAME:SPLIT.")
    return read(path), hashlib.sha256(path.read_bytes()).hexdigest()


def row_text(row: Any) -> str:
    """Every text of a row, at any depth and in any column, as lines of one text."""
    return "\n".join(nested_texts(row))


def nested_texts(value: Any) -> Iterator[str]:
    """The texts of a JSON value in their order; keys are none."""
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping):
            rest += reversed(tuple(part.values()))
        elif isinstance(part, Sequence):
            rest += reversed(part)
