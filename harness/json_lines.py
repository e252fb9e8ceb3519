"""JSON Lines (jsonlines.org) through the `jsonlines` package: a UTF-8 JSON value a line, the same bytes for the same values."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import IO, Any

import jsonlines

from harness.json_texts import decode_json
from harness.visible_text import show_controls

InvalidLineError = jsonlines.InvalidLineError
Writer = jsonlines.Writer
EMPTY = object()
STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def encode(value: Any) -> bytes:
    """A value as UTF-8 JSON, without a newline.

    Escaped is what a terminal or an editor would act upon, and lone surrogates, which UTF-8 cannot hold: to who parses it,
    the value is the same.  Raises ValueError for NaN and infinities, which JSON does not have.
    """
    text = STRICT.encode(value)
    return (text if text.isascii() and text.isprintable() else show_controls(text)).encode()


def encode_lines(values: Iterable[Any]) -> bytes:
    """The content of a file with one line for each value."""
    buffer = io.BytesIO()
    open_writer(buffer).write_all(values)
    return buffer.getvalue()


def open_writer(stream: IO[bytes], flush: bool = False) -> jsonlines.Writer:
    """Writes lines to a binary stream, which the caller closes; `flush` hands each line to the operating system at once."""
    return jsonlines.Writer(stream, dumps=encode, flush=flush)


def read_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    """(line number, value) of each line of a binary stream that is not empty.  The last line may lack its newline.

    Raises InvalidLineError (a ValueError), with the line and its number, where a line is not JSON.
    """
    # Without `loads`, jsonlines takes whichever fast parser is installed, and these read numbers and surrogates differently.
    values = jsonlines.Reader(lines, loads=parse_line).iter(allow_none=True)
    return ((number, value) for number, value in enumerate(values, 1) if value is not EMPTY)


def complete_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines up to the first without a newline: a writer that was killed leaves half a line at the end."""
    return takewhile(lambda line: line.endswith(b"\n"), lines)


def remove_torn_line(stream: IO[bytes]) -> None:
    """Cuts off a last line that a killed process left without its newline, and goes to the end."""
    stream.seek(0)
    stream.truncate(sum(map(len, complete_lines(stream))))
    stream.seek(0, io.SEEK_END)


def parse_line(text: str) -> Any:
    """The JSON value in a line, of decode_json(); EMPTY for a line of white space, which keeps its number so."""
    return decode_json(text, allows_nan=True) if text.strip() else EMPTY
