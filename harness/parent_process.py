"""Processes that end with the one that started them, also where that was killed: none goes on unseen, holding locks."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import threading
from multiprocessing import connection


def end_with_parent() -> None:
    """From now on this process, which multiprocessing started, ends when its parent does, however that ends."""
    threading.Thread(target=wait_for_parent, daemon=True).start()


def wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def end_with_ancestor(pid: int) -> None:
    """From now on this process ends with that one, however it ends, and so does a process of multiprocessing between them.

    For processes that another program's code starts.  Only Linux tells of the end of any process.
    """
    if pid == os.getpid() or not hasattr(os, "pidfd_open"):
        return
    parent = multiprocessing.parent_process()  # None: another program's own, such as Ray's, which is left alone
    between = [parent.pid] if parent and parent.pid and parent.pid != pid else []
    threading.Thread(target=wait_for_ancestor, args=(os.pidfd_open(pid), [*between, os.getpid()]), daemon=True).start()


def wait_for_ancestor(ancestor: int, processes: list[int]) -> None:
    """Ends the processes when the one of that file descriptor has ended."""
    select.select([ancestor], [], [])
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(pid, signal.SIGKILL)
