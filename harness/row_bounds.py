"""Bounds of rows of unknown origin: a few bytes can be packed, or set in columns, so that they stand for any number of them."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from typing import IO, Any

from harness.types import SkilldeltaError

MAX_RATIO = 200  # unpacked bytes for each byte of a packed file; texts have up to 20, and repetitive logs 100
FREE = 1 << 26  # bytes that any file may unpack to
MAX_PACKED_LINES = 2_000_000  # of a packed file
MAX_PLAIN_LINES, MAX_PLAIN = 10_000_000, 1 << 34  # of a plain file, and its bytes
MAX_LINE = 1 << 26  # bytes of one line
MAX_ABSENT = 1_000_000  # cells of a CSV file's header that its rows leave out
UNPACK_IT = "it is not read.  Unpack it yourself if it is meant to be so."


def most_unpacked(packed_size: int) -> int:
    """The bytes that a file of `packed_size` bytes may unpack to."""
    return FREE + MAX_RATIO * packed_size


def bounded_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream; ValueError at the first that is longer than MAX_LINE."""
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise ValueError(f"a line is longer than {MAX_LINE >> 20} MiB")
        yield line


def unpack_gzip(content: bytes, most: int) -> bytes:
    """What gzip packed, of at most `most` bytes and MAX_RATIO; ValueError for more."""
    bound = min(most, most_unpacked(len(content)))
    with gzip.open(io.BytesIO(content)) as stream:
        plain = stream.read(bound + 1)
    if len(plain) > bound:
        raise ValueError(f"it unpacks to more than {bound:,} bytes: {UNPACK_IT}")
    return plain


def parse_csv(content: str, name: str) -> list[dict[str, Any]]:
    """The rows of a CSV table; a cell that a row leaves out is None.  SkilldeltaError for more cells than the header has."""
    lines = csv.reader(io.StringIO(content, newline=""))
    header = next(lines, [])
    rows: list[dict[str, Any]] = []
    absent = 0
    for line in filter(None, lines):
        if len(line) > len(header):
            raise SkilldeltaError(f"Row {len(rows) + 1} of {name} has more cells than the header.")
        absent += len(header) - len(line)
        if absent > MAX_ABSENT:
            raise SkilldeltaError(f"The rows of {name} lack more than {MAX_ABSENT:,} cells of its header: is it CSV?")
        rows.append(dict.fromkeys(header) | dict(zip(header, line, strict=False)))
    return rows
