"""Every way in which a file can be other than it should: each field replaced, each file replaced.  Seeded, and without end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Place = tuple[str | int, ...]  # keys and indices that lead to a field
ABSENT = object()
DEEP = "[" * 900 + "]" * 900
VALUES: dict[str, Any] = {
    "absent": ABSENT,
    "null": None,
    "true": True,
    "negative": -1,
    "10^9": 10**9,
    "10^400": 10**400,
    "1e308": 1e308,
    "NaN": float("nan"),
    "infinite": float("inf"),
    "no text": "",
    "number as text": "7",
    "5,000 letters": "x" * 5000,
    "5,000 digits": "9" * 5000,
    "terminal escape": "\x1b]52;c;ZXZpbA==\x07\x1b[31m",
    "half of a pair": "\ud800",
    "NUL": "a\0b",
    "path out": "../../../etc/passwd",
    "list": [1],
    "list of lists": [[[]]],
    "object": {"a": {"b": 1}},
    "deep": "DEEP",
}


def encode(value: Any) -> bytes:
    """JSON as Python writes it: with NaN, and with halves of pairs as escapes."""
    return json.dumps(value).replace('"DEEP"', DEEP).encode()


def list_places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every field of a JSON value, of a list the first element alone, and the whole."""
    yield place
    children = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, child in children:
        yield from list_places(child, (*place, key))


def replace_field(value: Any, place: Place, new: Any) -> Any:
    """A copy of a JSON value with one field replaced, or left out."""
    if not place:
        return None if new is ABSENT else new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(place) == 1 and new is ABSENT:
        del copy[place[0]]  # type: ignore[arg-type]
    else:
        copy[place[0]] = replace_field(copy[place[0]], place[1:], new)  # type: ignore[index, call-overload]
    return copy


def damage_fields(content: Any) -> Iterator[tuple[str, bytes]]:
    """(what was done, the file's content) for each field and each value."""
    for place in list_places(content):
        for name, value in VALUES.items():
            yield f"{'.'.join(map(str, place)) or 'whole'}: {name}", encode(replace_field(content, place, value))


def write(content: bytes) -> Callable[[Path], None]:
    """Damage that puts another content in the place of a file, or of a link to one."""

    def act(file: Path) -> None:
        file.unlink(missing_ok=True)
        file.write_bytes(content)

    return act


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Damage that puts something else in the place of a file."""

    def act(file: Path) -> None:
        file.unlink(missing_ok=True)
        make(file)

    return act


def change(edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda file: write(edit(file.read_bytes()))(file)


FILES: dict[str, Callable[[Path], None]] = {
    "pipe": instead(os.mkfifo),
    "folder": instead(os.mkdir),
    "link to an endless device": instead(lambda f: f.symlink_to("/dev/zero")),
    "link to itself": instead(lambda f: f.symlink_to(f.name)),
    "link to nothing": instead(lambda f: f.symlink_to("gone")),
    "link out": instead(lambda f: f.symlink_to("/etc/passwd")),
    "gone": instead(lambda f: None),
    "empty": write(b""),
    "NULs": write(b"\0" * 5000),
    "a terabyte of nothing": instead(lambda f: os.truncate(os.open(f, os.O_CREAT | os.O_WRONLY), 1 << 40)),
    "half": change(lambda b: b[: len(b) // 2]),
    "byte order mark": change(lambda b: b"\xef\xbb\xbf" + b),
    "UTF-16": change(lambda b: b.decode("utf-8", "replace").encode("utf-16")),
    "other line ends": change(lambda b: b.replace(b"\n", b"\r\n")),
    "Latin-1": change(lambda b: b[:5] + b"\xff\xe9" + b[5:]),
    "deep lists": write(b"[" * 100_000),
    "deep objects": write(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "twice": change(lambda b: b + b),
    "a number": write(b"3"),
    "a number of 10,000 digits": write(b"9" * 10_000),
}
