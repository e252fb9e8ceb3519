"""The folder in which a slot's programs may write, and how it is emptied between them."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Scratch:
    """A slot's folder and what it may hold.  `own`: a file system of its own, with a quota, that ends with the slot."""

    folder: str
    megabytes: int
    files: int
    own: bool

    def over_quota(self) -> bool:
        """Whether it holds more than it may.  Where it is no file system of its own, somebody has to count."""
        files = size = 0
        stack = [self.folder]
        while stack:
            try:
                with os.scandir(stack.pop()) as entries:
                    for entry in entries:
                        files += 1
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            stack.append(entry.path)
            except OSError:  # removed meanwhile, or closed to us: what is left is counted the next time
                continue
            if files > self.files or size > self.megabytes << 20:
                return True
        return False

    def tidy(self) -> bool:
        """Makes it what it was in the beginning; where that fails, or a new one is to be had, the slot is used no more."""
        try:
            if os.listdir(self.folder):  # noqa: PTH208
                if self.own:
                    return False
                empty(self.folder)
            os.chmod(self.folder, 0o700)  # noqa: PTH101
            os.utime(self.folder, (0, 0))
        except OSError:
            return False
        return True


def empty(folder: str) -> None:
    """Deletes what is in a folder, however deep: folders are moved up to its top first, so that no path grows too long."""
    mark, number = os.urandom(16).hex(), 0  # no program can have made folders of these names
    stack = [folder]
    while stack:
        here, inner = stack[-1], len(stack)
        for entry in list(os.scandir(here)):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)  # noqa: PTH101
                number += 1
                stack.append(f"{folder}/{mark}-{number}")
                os.rename(entry.path, stack[-1])  # noqa: PTH104
            else:
                os.unlink(entry.path)  # noqa: PTH108
        if len(stack) == inner:  # it is empty now
            stack.pop()
            if here != folder:
                os.rmdir(here)  # noqa: PTH106
