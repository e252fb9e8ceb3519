"""The only folder in which a slot's programs may write."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class ScratchFolder:
    """A program's folder and its quota.  `own_filesystem`: the kernel holds the quota, and the folder ends with the program."""

    folder: str
    megabytes: int
    files: int
    own_filesystem: bool

    def over_quota(self) -> bool:
        """Does the folder exceed its quota?  Counts the files, for folders on a file system without a quota."""
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
            except OSError:  # removed meanwhile, or unreadable: the next count will include the rest
                continue
            if files > self.files or size > self.megabytes << 20:
                return True
        return False


def empty_folder(folder: str) -> None:
    """Deletes the content of a folder, however deep.  Folders move to its top first, so that no path grows too long."""
    mark, number = os.urandom(16).hex(), 0  # names that no program can have used
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
        if len(stack) == inner:  # nothing was pushed: the folder is empty now
            stack.pop()
            if here != folder:
                os.rmdir(here)  # noqa: PTH106
