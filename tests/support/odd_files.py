"""Further things that may lie where a file should: sockets, devices, chains of links, archives, texts of other programs."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.support.damage import change, instead, write


def bind_socket(file: Path) -> None:
    before = os.open(".", os.O_RDONLY)
    os.chdir(file.parent)  # a socket's path has a hundred letters at most
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(file.name)
    finally:
        os.fchdir(before)
        os.close(before)


def make_device(minor: int, name: str) -> Callable[[Path], None]:
    """A device of the memory's, for root; for others a link to it."""

    def make(file: Path) -> None:
        try:
            os.mknod(file, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        except PermissionError:
            file.symlink_to(f"/dev/{name}")

    return make


def chain_links(count: int) -> Callable[[Path], None]:
    """The file behind so many links; the kernel follows 40."""

    def act(file: Path) -> None:
        place = file.rename(file.with_name(f"real-{file.name}"))
        for i in range(count):
            link = file.with_name(f"link-{i}-{file.name}")
            link.symlink_to(place.name)
            place = link
        file.symlink_to(place.name)

    return act


def link_in_a_circle(file: Path) -> None:
    other = file.with_name(f"other-{file.name}")
    file.symlink_to(other.name)
    other.symlink_to(file.name)


def zip_content(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("content", content)
    return buffer.getvalue()


def write_keys_twice(content: bytes) -> bytes:
    """A JSON object whose keys come again, with another value each."""
    try:
        items = list(json.loads(content.split(b"\n{")[0]).items())
    except (ValueError, AttributeError):
        return content * 2
    pairs = [*items, *((key, "other") for key, _ in items)]
    return ("{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs) + "}\n").encode()


def add_field(text: bytes) -> Callable[[Path], None]:
    """One field more at the beginning of the first object."""
    return change(lambda content: content.replace(b"{", b"{" + text + b", ", 1))


ODD_FILES: dict[str, Callable[[Path], None]] = {
    "a socket": instead(bind_socket),
    "the null device": instead(make_device(3, "null")),
    "an endless device": instead(make_device(5, "zero")),
    "link to the terminal": instead(lambda f: f.symlink_to("/dev/tty")),
    "link to the process's memory": instead(lambda f: f.symlink_to("/proc/self/mem")),
    "link to the kernel's log": instead(lambda f: f.symlink_to("/dev/kmsg")),
    "links in a circle": instead(link_in_a_circle),
    "30 links": chain_links(30),
    "50 links": chain_links(50),
    "link to its folder": instead(lambda f: f.symlink_to(".")),
    "with the rights of others": lambda f: f.chmod(0o6755),
    "without rights": lambda f: f.chmod(0),
    "gzip": change(gzip.compress),
    "zip": change(zip_content),
    "xz": change(lzma.compress),
    "bzip2": change(bz2.compress),
    "UTF-16 without a mark": change(lambda b: b.decode("utf-8", "replace").encode("utf-16-le")),
    "UTF-32": change(lambda b: b.decode("utf-8", "replace").encode("utf-32")),
    "two byte order marks": change(lambda b: b"\xef\xbb\xbf" * 2 + b),
    "every key twice": change(write_keys_twice),
    "NULs at the end": change(lambda b: b + b"\0" * 4096),
    "a NUL within": change(lambda b: b[:20] + b"\0" + b[20:]),
    "carriage returns": change(lambda b: b.replace(b"\n", b"\r")),
    "line separators": change(lambda b: b.replace(b"\n", "\u2028".encode())),
    "a page of a proxy": write(b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"),
    "a conflict of git": change(lambda b: b"<<<<<<< HEAD\n" + b + b"\n=======\n" + b + b"\n>>>>>>> other\n"),
    "half a letter": change(lambda b: b.rstrip() + b"\xc3"),
    "surrogates in UTF-8": change(lambda b: b[:20] + b"\xed\xa0\x80" + b[20:]),
    "1e999": add_field(b'"x": 1e999'),
    "minus zero": add_field(b'"x": -0.0'),
    "a million digits": add_field(b'"x": ' + b"7" * 1_000_000),
    "a million digits behind the point": add_field(b'"x": 0.' + b"7" * 1_000_000),
    "a huge negative exponent": add_field(b'"x": 1e-999999999'),
    "half of a pair as a key": add_field(rb'"\ud800": 1'),
    "NUL in a key": add_field(rb'"a\u0000b": 1'),
    "an empty key": add_field(b'"": 1'),
    "an escape in a key": add_field(rb'"\u001b[31m": 1'),
    "a key of Python's": add_field(b'"__class__": {"__init__": 1}'),
    "a key of 100,000 letters": add_field(b'"' + b"k" * 100_000 + b'": 1'),
    "a million numbers": add_field(b'"x": [' + b"1," * 1_000_000 + b"1]"),
    "comments": change(lambda b: b"// comment\n" + b),
    "single quotes": change(lambda b: b.replace(b'"', b"'")),
}
