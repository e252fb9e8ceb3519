"""The template: a fresh interpreter that loads what programs may import, confines itself, and forks slots.

It is started with a clean environment and one socket, and ends when that socket closes.  It answers one JSON message with
how to set itself up: {} when it is ready, {"error": ...} when this machine refuses what the tier needs.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from harness.sandbox.inside import kernel, landlock, namespaces, slot

MODULES = """
abc array bisect builtins calendar cmath collections collections.abc contextlib copy dataclasses datetime decimal enum fractions
functools heapq io itertools json math numbers operator os random re signal socket statistics string struct sys threading time
types typing warnings
ctypes hashlib unicodedata zlib _bz2 _lzma _sqlite3 _uuid _strptime encodings.idna encodings.latin_1
"""
STATM = Path("/proc/self/statm")


def main(place: str) -> NoReturn:
    """Reads the set-up, confines, serves.  `place`: the number of an open socket, or in a container where to find one."""
    control = socket.socket(fileno=int(place)) if place.isdigit() else connected(place)
    setup = json.loads(control.recv(1 << 20))
    try:
        library = namespaces.library_folders()
        load(setup)
        resident = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        setup["landlock"] = landlock.available()
        setup["uid"] = free_user() if setup["tier"] != "none" else None
        processes = None if setup["tier"] == "namespaces" or setup["uid"] is not None else user_threads() + 1024
        if setup["tier"] == "namespaces":
            enter(setup, library)
        else:
            setup["library"] = library
            setup["readable"] = readable(library, setup["packages"])
    except (OSError, ImportError) as error:
        control.send(json.dumps({"error": reason(error)}).encode())
        os._exit(1)
    gc.collect()
    gc.freeze()
    control.send(b"{}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # slots are reaped by the kernel
    serve(control, setup, resident, processes)


def reason(error: OSError | ImportError) -> str:
    """Why it cannot be set up, without the number of the error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def connected(place: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found.connect(place)
    return found


def load(setup: dict[str, Any]) -> None:
    """Imports what programs may use, so that each finds it ready after the fork."""
    sys.path += setup["site"]
    for name in [*MODULES.split(), *setup["modules"]]:
        try:
            importlib.import_module(name)
        except ImportError:
            if name in setup["modules"]:
                raise


def enter(setup: dict[str, Any], library: list[str]) -> None:
    """Into namespaces of its own: as root at once, else (or where root may not) through a user namespace."""
    try:
        namespaces.enter(user=os.geteuid() != 0)
    except PermissionError:
        if os.geteuid() != 0:
            raise
        namespaces.enter(user=True)
        setup["uid"] = None
    if pid := kernel.fork():
        wait_and_exit(pid)
    namespaces.build(setup["base"], library, setup["packages"])
    sys.path_importer_cache.clear()


def wait_and_exit(pid: int) -> NoReturn:
    """The process outside stays only to be waited for."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.waitpid(pid, 0)
    os._exit(0)


def free_user() -> int | None:
    """A range of user numbers that belongs to nobody, where this process may take them; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    spans = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    groups = [tuple(map(int, line.split())) for line in Path("/proc/self/gid_map").read_text().splitlines()]
    for first in (0x7E5A0000, 60000):
        if all(any(start <= first and first + 4096 <= start + n for start, _, n in which) for which in (spans, groups)):
            return first
    return None


def user_threads() -> int:
    """Processes and threads that this user has already."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == os.getuid():
                count += sum(1 for _ in (folder / "task").iterdir())
        except OSError:  # ended meanwhile
            continue
    return count


def readable(library: list[str], packages: list[str]) -> list[str]:
    """What programs may read on the host's file system: the standard library less other people's packages, and `packages`."""
    hidden = set(namespaces.third_party(library))
    found = list(packages)
    for folder in library:
        if not any(folder.startswith(other + "/") for other in library):
            entries = [entry for entry in Path(folder).iterdir() if entry.exists()]  # a link of Debian's may be dead
            found += [str(entry) for entry in entries if str(entry) not in hidden]
    return found + ([namespaces.ZONES] if Path(namespaces.ZONES).is_dir() else [])


def serve(control: socket.socket, setup: dict[str, Any], resident: int, processes: int | None) -> NoReturn:
    """Forks a slot for each socket that arrives."""
    number = 0
    while True:
        message, handed, _, _ = socket.recv_fds(control, 64, 1)
        if not message:
            os._exit(0)
        if kernel.fork() == 0:
            control.close()
            begin(handed[0], setup, number, (resident, processes))
        os.close(handed[0])
        number += 1


def begin(descriptor: int, setup: dict[str, Any], number: int, sizes: tuple[int, int | None]) -> NoReturn:
    """A new slot's process, from the fork to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control = socket.socket(fileno=descriptor)
    try:
        if setup["tier"] == "namespaces":
            kernel.unshare(namespaces.SLOT_OWN)
            if kernel.fork():
                os._exit(0)
        place = slot.prepare(setup, number % 2000, *sizes)
    except OSError as error:
        control.send(json.dumps({"error": reason(error)}).encode())
        os._exit(1)
    try:
        slot.serve(control, place)
    except BaseException:  # noqa: BLE001  a process that was forked must not return; what went wrong is told to the harness
        sys.stderr.write(traceback.format_exc())
        sys.stderr.flush()
    os._exit(0)
