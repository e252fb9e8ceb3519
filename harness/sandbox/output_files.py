"""The files into which programs print, each used by one program after another.

The kernel numbers files in memory by one counter of the machine.  A program pushes it on by sharing memory, and a later one
would read it from the number of its own output.  So these files are made before any program runs, and are reset between two.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

MAX_OUTPUT_BYTES = 64 << 10  # bytes of a program's output
MODE = 0o777  # of a new file in memory


class OutputFiles:
    """`count` files, and more where more programs run at a time.  `reuse`: False where processes may outlive a program."""

    def __init__(self, count: int, reuse: bool) -> None:
        self.reuse = reuse
        self.free = [create_file() for _ in range(count if reuse else 0)]

    @contextlib.contextmanager
    def lend(self) -> Iterator[int]:
        """The descriptor of an empty file for one program; one whose program's end is not known is not used again."""
        try:
            file = self.free.pop()
        except IndexError:
            file = create_file()
        try:
            yield file
            if self.reuse:
                reset_file(file)
        except BaseException:
            os.close(file)
            raise
        if self.reuse:
            self.free.append(file)
        else:
            os.close(file)

    def close(self) -> None:
        while self.free:
            os.close(self.free.pop())


def create_file() -> int:
    return os.memfd_create("skilldelta", os.MFD_CLOEXEC)


def reset_file(file: int) -> None:
    """Undoes whatever a program may do to its output: content, space beyond its end, position, flags, mode and times."""
    os.ftruncate(file, 1)  # the space beyond the end goes where a file becomes shorter
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    fcntl.fcntl(file, fcntl.F_SETFL, 0)
    os.fchmod(file, MODE)
    os.utime(file)
