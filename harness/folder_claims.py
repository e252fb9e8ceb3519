"""A folder that one process works in for hours: who has it, since when, and the way out for everybody else.

The claim is a lock on a file of the folder, which the kernel gives up when its holder ends, however it ends.  What the file
says serves people alone: left by a killed holder, it claims nothing.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.bounded_files import read_json
from harness.file_locks import LOOK, UNKNOWN, is_named
from harness.own_folders import refuse_other_spelling
from harness.types import SkilldeltaError
from harness.visible_text import printable

LOG = logging.getLogger("skilldelta")
CLAIM_FILE = ".in-use.json"
# Seconds in which a claim may end by itself: a killed study's stages end a moment after it.
GRACE = 5.0


class FolderInUseError(SkilldeltaError):
    """Another process works in a folder."""


@contextmanager
def claim_folder(folder: Path, work: str) -> Iterator[None]:
    """Makes a folder this process's alone; `work` says what it does there, for those who are refused ("trains").

    FolderInUseError where another process has it, and what refuse_other_spelling() raises.  Where the file system keeps no
    locks, or nothing may be written, that is said, and the work goes on: it says itself what it cannot write.
    """
    file, new_folders = folder / CLAIM_FILE, [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_other_spelling(folder)
        descriptor = acquire(file)
    except OSError as error:
        LOG.warning("%s cannot be kept from other processes (%s): let no other one write there.", folder, error.strerror)
        yield
        return
    try:
        write_holder(descriptor, work)
        yield
    finally:
        with suppress(OSError):  # left behind, it claims nothing either
            file.unlink()  # before the lock ends: nobody else can have made it anew
        os.close(descriptor)
        with suppress(OSError):  # work that was refused leaves no empty folders
            for place in new_folders:
                place.rmdir()


def acquire(file: Path) -> int:
    """The descriptor of the locked file.  OSError where there are no locks, FolderInUseError where another process has it."""
    deadline = time.monotonic() + GRACE
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_named(descriptor, file):
                return descriptor
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise FolderInUseError(explain_holder(file)) from error
            time.sleep(LOOK)
        except OSError as error:
            os.close(descriptor)
            raise OSError(
                error.errno, "its file system keeps no locks" if error.errno in UNKNOWN else error.strerror
            ) from error
        os.close(descriptor)


def write_holder(descriptor: int, work: str) -> None:
    """Says who has the folder.  Where that cannot be written, as on a full disk, the lock holds all the same."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    holder = {"process": os.getpid(), "host": socket.gethostname(), "work": work, "since": since}
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode() + b"\n", 0)
    except OSError as error:
        LOG.warning("%s: others who are refused will not read who has this folder (%s).", CLAIM_FILE, error.strerror)


def explain_holder(file: Path) -> str:
    """Who has a folder and since when, as far as its claim says so, and the way out."""
    try:
        holder = read_json(file)
    except ValueError:
        holder = {}  # written this moment, or removed
    process, host, work, since = (printable(str(holder.get(key, "")))[:80] for key in ("process", "host", "work", "since"))
    who = f"process {process} on {host} {work} there since {since}" if process else "another process works there"
    return f"{file.parent} is in use: {who}.\nWait for it, stop it, or name another folder with -o."
