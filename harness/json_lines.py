"""JSON Lines (jsonlines.org) through the `jsonlines` package: a UTF-8 JSON value a line, the same bytes for the same values."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import IO, Any

import jsonlines

STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
STRICT_ASCII = json.JSONEncoder(allow_nan=False)


def encode(value: Any) -> bytes:
    """A value as UTF-8 JSON, without a newline.  Lone surrogates, which UTF-8 cannot hold, are escaped.

    Raises ValueError for NaN and infinities, which JSON does not have.
    """
    try:
        return STRICT.encode(value).encode()
    except UnicodeEncodeError:
        return STRICT_ASCII.encode(value).encode()


def encode_lines(values: Iterable[Any]) -> bytes:
    """The content of a file with one line for each value."""
    buffer = io.BytesIO()
    open_writer(buffer).write_all(values)
    return buffer.getvalue()


def open_writer(stream: IO[bytes], flush: bool = False) -> jsonlines.Writer:
    """Writes lines to a binary stream, which the caller closes; `flush` hands each line to the operating system at once."""
    return jsonlines.Writer(stream, dumps=encode, flush=flush)


def read_lines(lines: Iterable[bytes]) -> Iterator[Any]:
    """The value of each line of a binary stream.  A line without a newline ends the reading: a killed writer left half of it.

    Raises jsonlines.InvalidLineError, with the line and its number, where a line is not JSON.
    """
    # Without `loads`, jsonlines takes whichever fast parser is installed, and these read numbers and surrogates differently.
    values: Iterator[Any] = jsonlines.Reader(takewhile(is_complete, lines), loads=json.loads).iter(allow_none=True)
    return values


def is_complete(line: bytes) -> bool:
    """Whether a line was written to its end."""
    return line.endswith(b"\n")
