"""Other programs' files, read as what they are: untrusted.  Bounded, and with an error that names the file and the way out."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import IO, Any

from harness import data
from harness.bounded_files import explain_no_file
from harness.json_lines import InvalidLineError, read_lines
from harness.json_texts import decode_json
from harness.row_bounds import MAX_LINE, MAX_PACKED_LINES, MAX_PLAIN, MAX_PLAIN_LINES, UNPACK_IT, most_unpacked
from harness.types import Json, SkilldeltaError

MAX_BYTES = 1 << 30  # of a JSON file, once unpacked
MAX_BLANK = 1 << 24  # bytes of empty lines in succession: a few KB of gzip hold more of them than anybody waits for


@dataclass(frozen=True)
class UntrustedFile:
    """A file that somebody named.  It is read when its content is asked for, and once."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def suffix(self) -> str:
        """The ending, in small letters, less .gz."""
        return Path(self.name.lower().removesuffix(".gz")).suffix

    @cached_property
    def content(self) -> Any:
        """All that the file holds: a list of rows (.jsonl, .csv, .txt), or the value of a .json file."""
        if self.suffix == ".jsonl":
            return [row for _, row in read_objects(self.path)]
        return load_json(self.path) if self.suffix == ".json" else data.read(self.path)

    @property
    def rows(self) -> list[Json]:
        """The content, where it is a list of objects; else []."""
        return self.content if isinstance(self.content, list) and all(isinstance(row, dict) for row in self.content) else []

    @cached_property
    def first(self) -> Json:
        """The first object of a .jsonl file; of a .json file the object, or the first of its list; {} where there is none."""
        return self.head[0]

    @property
    def problem(self) -> str:
        """Why a .jsonl, .json, .parquet or .eval file cannot be read (a Git LFS pointer, empty, cut); "" where it may."""
        return self.head[1]

    @cached_property
    def head(self) -> tuple[Json, str]:
        """(the first object, why there is none)."""
        if self.suffix not in (".jsonl", ".json", ".parquet", ".eval"):
            return {}, ""
        try:
            if not self.path.stat().st_size:
                return {}, f"{self.path} is empty: was the run interrupted, or the file not downloaded?"
            data.refuse_lfs_pointer(self.path)
            if self.suffix in (".parquet", ".eval"):
                return {}, ""
            value = next(read_objects(self.path))[1] if self.suffix == ".jsonl" else load_json(self.path)
        except StopIteration:
            return {}, f"{self.path} holds only empty lines."
        except OSError as error:
            return {}, f"{self.path} cannot be read: {error}."
        except SkilldeltaError as error:
            return {}, str(error)
        value = value[0] if isinstance(value, list) and value else value
        return (value, "") if isinstance(value, dict) else ({}, "")


def open_file(path: Path) -> IO[bytes]:
    """The bytes of a file, those of a .gz unpacked as they are read."""
    data.refuse_lfs_pointer(path)
    require_file(path)
    try:
        return gzip.open(path, "rb") if is_packed(path) else path.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise SkilldeltaError(f"{path} cannot be read: {error}.") from error


def require_file(path: Path) -> None:
    """Raises SkilldeltaError for what is no ordinary file: a pipe would be waited for, a device read without end."""
    if fault := explain_no_file(path):
        raise SkilldeltaError(f"{path} cannot be read: {fault}.")


def read_at_most(stream: IO[bytes], most: int, where: str) -> bytes:
    """All that a stream gives, or an error where it is more than `most` bytes."""
    try:
        content = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SkilldeltaError(f"{where} cannot be unpacked ({error}): is it whole?") from error
    if len(content) > most:
        raise SkilldeltaError(f"{where} holds more than {most >> 20} MiB once it is unpacked: it is not read.")
    return content


def is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def most_bytes(path: Path) -> int:
    """How many bytes of a .json file are read, those of a .gz unpacked."""
    return min(MAX_BYTES, most_unpacked(path.stat().st_size)) if is_packed(path) else MAX_BYTES


def load_json(path: Path) -> Any:
    """The value in a .json file, plain or .gz."""
    with open_file(path) as stream:
        return parse_json(read_at_most(stream, most_bytes(path), str(path)), str(path))


def read_objects(path: Path) -> Iterator[tuple[int, Json]]:
    """(line number, object) of a .jsonl file, plain or .gz; empty lines are passed over.

    A file that is one list (lm-eval wrote such before 0.4.3) gives (place in the list, object).
    """
    with open_file(path) as stream:
        try:
            lines = read_bounded_lines(stream, path)
            first = next(lines, b"")
            if first.lstrip().startswith(b"["):
                rest = read_at_most(stream, most_bytes(path), str(path))
                for number, value in enumerate(parse_json(first + rest, str(path)), 1):
                    yield number, require_object(value, f"{path}, object {number}")
                return
            for number, value in read_lines(chain([first], lines)):
                yield number, require_object(value, f"{path}, line {number}")
        except InvalidLineError as error:
            where = f"{path}, line {error.lineno}"
            raise SkilldeltaError(f"{where} is not JSON ({str(error)[:120]}): is the file whole?") from error


def read_bounded_lines(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    """The lines of a stream, or an error at the first that is longer than MAX_LINE, or behind MAX_BLANK of empty ones.

    All lines together have a bound, too, and those of a .gz a lower one: a few KB of it can stand for any number of rows.
    """
    size = path.stat().st_size
    most, most_lines, verb, hint = (
        (most_unpacked(size), MAX_PACKED_LINES, "unpacks to", UNPACK_IT)
        if is_packed(path)
        else (MAX_PLAIN, MAX_PLAIN_LINES, "has", "it is not read.  Import it in parts.")
    )
    bytes_left = most
    blank = 0
    for number in count(1):
        try:
            line = stream.readline(MAX_LINE + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise SkilldeltaError(f"{path} cannot be unpacked ({error}): is it whole?") from error
        if not line:
            return
        if len(line) > MAX_LINE:
            raise SkilldeltaError(f"{path}, line {number}, is longer than {MAX_LINE >> 20} MiB: it is not read.")
        bytes_left -= len(line)
        if bytes_left < 0 or number > most_lines:
            raise SkilldeltaError(f"{path} {verb} more than {most_lines:,} lines or {most:,} bytes: {hint}")
        blank = blank + len(line) if line.isspace() else 0
        if blank > MAX_BLANK:
            raise SkilldeltaError(f"{path}, line {number}: more than {MAX_BLANK:,} bytes of empty lines: it is not read.")
        yield line


def parse_json(text: bytes, where: str) -> Any:
    """The JSON value in `text`."""
    try:
        return decode_json(text.decode("utf-8-sig"), allows_nan=True)
    except ValueError as error:
        raise SkilldeltaError(f"{where} is not JSON ({str(error)[:120]}): is the file whole?") from error


def require_object(value: Any, where: str) -> Json:
    if not isinstance(value, dict):
        raise SkilldeltaError(f"{where} holds {shorten(value)} where an object was expected.")
    return value


def require_field(value: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """`value[name]`, which must be there and of that kind."""
    field = value.get(name) if isinstance(value, dict) else None
    if not isinstance(field, kind) or (isinstance(field, bool) and bool not in (kind if isinstance(kind, tuple) else (kind,))):
        names = ", ".join(map(str, value))[:200] if isinstance(value, dict) else shorten(value)
        state = f"{name!r} is {shorten(field)}" if isinstance(value, dict) and name in value else f"there is no {name!r}"
        raise SkilldeltaError(f"{where}: {state}; it has: {names}.")
    return field


def shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def finite_number(value: Any) -> float | None:
    """A finite number (a truth value is 0 or 1, also where a program wrote numbers as text); None for anything else."""
    if isinstance(value, str):
        value = {"True": 1, "False": 0, "true": 1, "false": 0}.get(value, value)
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
