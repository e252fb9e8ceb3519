"""The rows of a source of training data as they come: a file, or a data set of the Hub."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.bounded_files import open_bytes, read_bytes
from harness.data import MAX_BYTES, DataSource, hub_rows, parse_rows, read
from harness.json_values import storable
from harness.row_bounds import most_unpacked
from harness.training.row_texts import nested_texts
from harness.types import Json, SkilldeltaError, digest

HUB_FORMS = "hub:SET, hub:SET:SPLIT or hub:OWNER/SET/FILE"


def raw_rows(name: str) -> tuple[Sequence[Json], str]:
    """The rows of a file, or of the Hub (see `hub_source`), with a hash of their content."""
    if name.startswith("hub:"):
        rows = list(hub_rows(hub_source(name)))
        return rows, digest(storable(rows), 64)
    path = Path(name)
    if not path.is_file():
        raise SkilldeltaError(f"There is no data file {name}.  Rows of the Hub are named {HUB_FORMS}.")
    values = read_any(path)
    with open_bytes(path) as stream:
        return values, hashlib.file_digest(stream, "sha256").hexdigest()


def hub_source(name: str) -> DataSource:
    """A data set of the Hub, `hub:OWNER/SET`, with `:SPLIT` ("train" by default), or one file of it, `hub:OWNER/SET/FILE`."""
    path, _, split = name.removeprefix("hub:").partition(":")
    *hub, file = path.split("/", 2) if path.count("/") > 1 else (path, "")
    if file and split:
        raise SkilldeltaError(f"{name} names a file and a split; rows of the Hub are named {HUB_FORMS}.")
    return DataSource("/".join(hub), "", (), split=split or "train", file=file)


def read_any(path: Path) -> list[Json]:
    """All rows of a file of text (`data.read`), of such a file packed by Zstandard (.zst), or of a parquet file."""
    if path.suffix == ".parquet":
        from harness.interchange.parquet import read_parquet

        return list(read_parquet(path))
    csv.field_size_limit(MAX_BYTES)  # a cell may hold a conversation; Python's own limit is 128 KiB
    if path.suffix != ".zst":
        return list(read(path))
    from harness.interchange.archive import unpack_zstandard

    try:
        archive = read_bytes(path, MAX_BYTES)
        content = unpack_zstandard(archive, min(MAX_BYTES, most_unpacked(len(archive))), str(path)).decode("utf-8-sig")
    except (ValueError, OSError) as error:
        raise SkilldeltaError(f"{path} cannot be read: {str(error)[:200]}.") from error
    return list(parse_rows(content, path.stem))


def row_text(row: Any) -> str:
    """Every text of a row, at any depth and in any column, as lines of one text."""
    return "\n".join(nested_texts(row))
