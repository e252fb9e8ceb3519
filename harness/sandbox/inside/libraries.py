"""The shared libraries that modules of the standard library need: ssl, curses, readline, tkinter and others."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Sequence
from pathlib import Path

from harness.sandbox.inside import kernel

CACHE = "/etc/ld.so.cache"  # where the loader looks for libraries outside of its usual folders


class LibraryInfo(ctypes.Structure):
    """The beginning of struct dl_phdr_info."""

    _fields_ = [("address", ctypes.c_void_p), ("name", ctypes.c_char_p)]


def loaded_libraries() -> set[str]:
    """The files of this process's shared libraries, as the loader named them."""
    names: set[str] = set()

    def add(info: ctypes._Pointer[LibraryInfo], size: int, data: int) -> int:
        names.add((info.contents.name or b"").decode())
        return 0

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(LibraryInfo), ctypes.c_size_t, ctypes.c_void_p)
    kernel.LIBC.dl_iterate_phdr(kind(add), None)
    return {name for name in names if name.startswith("/")}


def module_libraries(folders: Sequence[str]) -> list[str]:
    """The libraries that the extension modules in `folders` need, by trial in a child process: loading runs their code."""
    reading, writing = os.pipe()
    pid = kernel.fork()
    if pid == 0:
        before = loaded_libraries()
        for path in sorted(path for folder in folders for path in Path(folder).glob("*.so")):
            before.add(str(path))
            try:
                ctypes.CDLL(str(path))
            except OSError:  # cannot be imported outside either
                continue
        os.write(writing, json.dumps(sorted(loaded_libraries() - before)).encode())  # a pipe holds 64 KiB
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        content = stream.read()
    os.waitpid(pid, 0)
    return [*json.loads(content or b"[]"), *([CACHE] if Path(CACHE).is_file() else [])]


def copy_libraries(paths: Sequence[str], root: str) -> None:
    """Copies them below `root`: each as a mount of its own would slow down every program."""
    for path in paths:
        target = Path(root + path)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "rb") as source, target.open("wb") as copy:  # noqa: PTH123
                while os.sendfile(copy.fileno(), source.fileno(), None, 1 << 30):  # no byte passes this process's memory
                    continue
