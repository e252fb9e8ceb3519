"""One writer at a time: locks that the kernel gives up when their process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNKNOWN = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # of a file system without locks
LOCK_FILE = ".lock"  # where a folder itself cannot be locked
WAIT = 60.0  # seconds
LOOK = 0.02  # seconds between two tries


class FolderLock:
    """A folder that is this process's until `release`, or until the process ends.  It must exist.

    BlockingIOError where another process has it.  A file system that knows no locks (some clusters' do not) gives everybody
    everything: `keeps_others_out` says so.
    """

    def __init__(self, folder: Path) -> None:
        self.keeps_others_out, self.file = True, folder  # what is open: the folder, or LOCK_FILE in it
        self.descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.acquire(folder)
        except OSError:
            os.close(self.descriptor)
            raise

    def acquire(self, folder: Path) -> None:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in UNKNOWN:
                self.keeps_others_out = False
                return
            if error.errno != errno.EBADF:
                raise
            # NFS locks only what is open for writing, which a folder never is.
            self.file, folder_descriptor = folder / LOCK_FILE, self.descriptor
            self.descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
            os.close(folder_descriptor)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        if self.keeps_others_out:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile has it open still
        os.close(self.descriptor)


def is_named(descriptor: int, place: Path) -> bool:
    """Whether what is open still has this name: it may have been removed, or replaced, since it was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), place.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def lock_folder(folder: Path, wait: float = WAIT) -> Iterator[None]:
    """Holds a folder's lock for a moment; waits for the process that has it, at most `wait` seconds: then OSError (EBUSY)."""
    deadline = time.monotonic() + wait
    while True:
        try:
            lock = FolderLock(folder)
            break
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                reason = f"Another process has held it for {wait:g} s"
                raise OSError(errno.EBUSY, reason, str(folder)) from error
            time.sleep(LOOK)
    try:
        yield
    finally:
        lock.release()
