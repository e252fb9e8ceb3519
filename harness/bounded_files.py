"""Files that strangers may have written, read within bounds: ordinary files of a bounded size, JSON of a bounded depth.

A file may be damaged, absurd, no file at all, or made to hurt the program that reads it.  Whatever it is, reading it ends, and
ends with its value or with an UnreadableFileError that says what is wrong.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

from harness.json_texts import decode_json
from harness.types import SkilldeltaError
from harness.visible_text import printable

MAX_JSON = 512_000_000  # bytes; a trainer's log of a long run is the largest that is read
LFS_POINTER = b"version https://git-lfs"  # how a file begins that stands for data which Git LFS did not fetch
KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket"}


class UnreadableFileError(SkilldeltaError, ValueError):
    """A file that does not hold what it should."""


def explain_no_file(file: Path) -> str:
    """Why there is no ordinary file of this name that could be read; "" where there is one.  A pipe would be waited for."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        is_link = file.is_symlink()
        name = printable(file.name)
        return f"{name} is a link to {link_target(file)}, which is not there" if is_link else f"{name} is missing"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return f"{printable(file.name)[:80]} cannot be read: {reason}"
    if stat.S_ISREG(mode):
        return ""
    link = f" (a link to {link_target(file)})" if file.is_symlink() else ""
    return f"{printable(file.name)}{link} is {KINDS.get(stat.S_IFMT(mode), 'a device')}, not a file"


def is_folder(place: str) -> bool:
    """Whether there is such a folder; a name that no file system takes is none."""
    try:
        return Path(place).is_dir()
    except (OSError, ValueError):
        return False


def is_there(place: str) -> bool:
    """Whether there is a file or folder of that name; a name that no file system takes is none's."""
    try:
        return Path(place).exists()
    except (OSError, ValueError):
        return False


def resolve_links(place: Path | str) -> Path:
    """Where a path from outside leads; as it is where that is nowhere: links in a circle, a name that no file system takes."""
    try:
        return Path(place).resolve()
    except (OSError, RuntimeError, ValueError):
        return Path(place).absolute()


def is_listed(file: Path) -> bool:
    """Whether a folder lists this name, though it be a link to nothing or in a circle: what is stored there counts."""
    return os.path.lexists(file)


def link_target(file: Path) -> str:
    return printable(str(file.readlink()))


def open_bytes(file: Path) -> BufferedReader:
    """The bytes of an ordinary file.  UnreadableFileError for anything else: a pipe or a device might never end."""
    if fault := explain_no_file(file):
        raise UnreadableFileError(fault)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # it may be a pipe by now
    except OSError as error:
        raise UnreadableFileError(f"{printable(file.name)} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFileError(f"{printable(file.name)} is no file any more")
    return os.fdopen(descriptor, "rb")


def is_lfs_pointer(file: Path) -> bool:
    """Whether a file stands for data that Git LFS did not fetch.  UnreadableFileError for what is no ordinary file."""
    with open_bytes(file) as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER


def read_bytes(file: Path, most: int = MAX_JSON) -> bytes:
    """All bytes of an ordinary file of at most `most` bytes; UnreadableFileError otherwise."""
    with open_text(file) as stream:
        size = os.fstat(stream.fileno()).st_size  # 0 for some files of the system that have a content
        try:
            content = stream.read(size) + stream.read(min(1 << 20, most)) if size <= most else b""
        except OSError as error:
            raise UnreadableFileError(f"{printable(file.name)} cannot be read: {error.strerror}") from error
    if size > most or len(content) > most:
        raise UnreadableFileError(f"{printable(file.name)} has more than {most:,} bytes: it is not read")
    return content


def read_end(file: Path, most: int) -> bytes:
    """The last bytes of an ordinary file, `most` at most; UnreadableFileError for anything else."""
    with open_bytes(file) as stream:
        stream.seek(max(os.fstat(stream.fileno()).st_size - most, 0))
        return stream.read(most)


def open_text(file: Path) -> BufferedReader:
    """The bytes of an ordinary file of text.  UnreadableFileError for a pointer of Git LFS, and for a text with holes.

    Holes are parts that were never written.
    """
    stream = open_bytes(file)
    try:
        hole = os.lseek(stream.fileno(), 0, os.SEEK_HOLE)  # its end, if there is none
        stream.seek(0)
    except OSError:  # not every file system knows
        hole = os.fstat(stream.fileno()).st_size
    fault = ""
    if hole < os.fstat(stream.fileno()).st_size:
        fault = f"has holes from byte {hole:,} on, where nothing was written"
    elif starts_pointer(stream):
        fault = "is a pointer of Git LFS: `git lfs pull` fetches the file"
    if fault:
        stream.close()
        raise UnreadableFileError(f"{printable(file.name)} {fault}")
    return stream


def starts_pointer(stream: BufferedReader) -> bool:
    """Whether a stream at its beginning is a pointer of Git LFS; it stays there."""
    try:
        return stream.peek(len(LFS_POINTER)).startswith(LFS_POINTER)
    except OSError:  # who reads it says why it cannot be read
        return False


def count_written(file: Path) -> int:
    """The bytes of an ordinary file that were ever written: its size without its holes, as some file systems know them."""
    with open_bytes(file) as stream:
        number, size = stream.fileno(), os.fstat(stream.fileno()).st_size
        total = place = 0
        try:
            while place < size:
                begin = os.lseek(number, place, os.SEEK_DATA)
                place = os.lseek(number, begin, os.SEEK_HOLE)
                total += place - begin
        except OSError as error:
            return total if error.errno == errno.ENXIO else size  # no data behind `place`, or no such question here
        return total


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file; UnreadableFileError names the file when it holds none.  NaN is allowed: trainers write it."""
    try:
        content = decode_json(read_bytes(file), allows_nan=True)
    except ValueError as error:
        raise UnreadableFileError(f"{printable(file.name)} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableFileError(f"{printable(file.name)} does not hold a JSON object")
    return content


def read_stored_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file of the results folder."""
    try:
        data = read_bytes(path)
        content = decode_json(data, once=True)
        if b"\\ud" in data.lower():  # how halves of pairs, which no UTF-8 holds, are written in JSON
            json.dumps(content, ensure_ascii=False).encode()
    except ValueError as error:
        raise SkilldeltaError(f"{path} cannot be read ({error}): the results folder is damaged there.") from error
    if not isinstance(content, dict):
        raise SkilldeltaError(f"{path} holds no JSON object: the results folder is damaged there.")
    return content
