"""A disk that is full from a chosen moment on, and a clock that jumps there, in this process and below one folder alone.

What Python opens is seen, and what a library in another language opens (safetensors, torch, tokenizers) is not: `largest_file`
stops those, too.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = ("open", "os.rename", "os.mkdir", "os.link")  # a full disk lets files be removed


class DiskFaults:
    """Counts the changes below a folder; from `moment` on each is refused, and the clock is `jump` seconds off."""

    def __init__(self) -> None:
        self.root, self.moment, self.count, self.is_full = "", 0, 0, False

    def listen(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.root or event not in EVENTS or (event == "open" and not int(str(arguments[2] or 0)) & WRITING):
            return
        path = str(arguments[0 if event in ("open", "os.mkdir") else 1])
        if event == "os.rename" and Path(path).is_file():  # the name is there: a new one for it takes no room
            return
        if path == self.root or path.startswith(f"{self.root}/"):
            self.touch(path)

    def touch(self, path: str) -> None:
        self.count += 1
        if self.is_full and self.count >= self.moment:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """In the block no file may grow beyond so many bytes, whoever writes it: a library in another language, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores the signal that comes with it
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


FAULTS = DiskFaults()
HOOKS: list[DiskFaults] = []  # Python keeps a hook for ever: it is set once, by the first test that needs it


@contextmanager
def faults_from(folder: Path, moment: int = 0, is_full: bool = False, jump: float = 0.0) -> Iterator[DiskFaults]:
    """In the block the disk below `folder` is full from the change `moment` on, and the clock jumps there."""
    if not HOOKS:
        HOOKS.append(FAULTS)
        sys.addaudithook(FAULTS.listen)
    clock, calendar, flush = time.time, time.gmtime, os.fsync
    FAULTS.root, FAULTS.moment, FAULTS.count, FAULTS.is_full = str(folder), moment, 0, is_full

    def fsync(descriptor: int) -> None:
        FAULTS.touch(str(folder))
        flush(descriptor)

    time.time = lambda: clock() + (jump if FAULTS.count >= moment else 0.0)
    time.gmtime = lambda seconds=None: calendar(time.time() if seconds is None else seconds)  # type: ignore[assignment]
    os.fsync = fsync  # type: ignore[assignment]
    try:
        yield FAULTS
    finally:
        time.time, time.gmtime, os.fsync, FAULTS.root = clock, calendar, flush, ""
