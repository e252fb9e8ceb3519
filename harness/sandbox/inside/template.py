"""The template: a fresh interpreter that loads the modules for programs, confines itself, and forks slots.

It starts with a clean environment and one socket, and ends when that socket closes.  It answers one JSON message, its set-up:
{"file user": ...} when it is ready, {"error": ...} when this machine refuses something that the tier needs.
"""

from __future__ import annotations

import contextlib
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
from harness.sandbox.inside.file_user import choose_file_user
from harness.sandbox.inside.interpreter import library_folders, third_party_folders
from harness.sandbox.inside.libraries import module_libraries
from harness.sandbox.inside.refusal import error_reason, refuse
from harness.sandbox.inside.stand_ins import fix_seeds
from harness.sandbox.inside.warm_up import warm_up

# Each shared library more makes every fork slower: those that few programs need (hashlib, sqlite3) they load themselves.
MODULES = """
abc array bisect builtins calendar cmath collections collections.abc contextlib copy dataclasses datetime decimal enum fractions
functools heapq io itertools json math numbers operator os random re signal socket statistics string struct sys threading time
types typing warnings
ctypes _strptime encodings.latin_1
"""
STATM = Path("/proc/self/statm")


def serve(control: socket.socket, thread_number: int) -> NoReturn:
    """Reads the set-up, confines itself, serves.  `thread_number`: see kernel.thread_number_address."""
    setup = json.loads(control.recv(1 << 20)) | {"thread_number": thread_number}
    try:
        library = library_folders()
        shared_libraries = module_libraries(library) if setup["tier"] != "none" else []
        import_modules(setup)
        resident = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        setup["landlock"] = landlock.is_available()
        setup["uid"] = find_free_user() if setup["tier"] != "none" else None
        setup["file_uid"] = None
        if setup["tier"] != "namespaces" and setup["uid"] is not None:
            setup["file_uid"] = choose_file_user([*library, *setup["packages"]], setup["uid"])
        processes = None if setup["tier"] == "namespaces" or setup["uid"] is not None else count_user_threads() + 1024
        if setup["tier"] == "namespaces":
            setup["scratch"] = namespaces.scratch_folder([*library, *setup["packages"]])
            namespaces.build_root(setup["base"], library, setup["packages"], shared_libraries)
            sys.path_importer_cache.clear()
        else:
            setup["library"] = library
            setup["readable"] = readable_paths(library, setup["packages"]) + shared_libraries
    except (OSError, ImportError) as error:
        refuse(control, error)
    warm_up()
    fix_seeds()
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every page of these objects
    control.send(json.dumps({"file user": setup["file_uid"]}).encode())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the slots
    serve_slots(control, setup, resident, processes)


def import_modules(setup: dict[str, Any]) -> None:
    """Imports the modules that programs may use, so that each finds them ready after the fork."""
    sys.path += setup["site"]
    for name in [*MODULES.split(), *setup["modules"]]:
        try:
            importlib.import_module(name)
        except ImportError:
            if name in setup["modules"]:
                raise


def find_free_user() -> int | None:
    """The first of 4096 user numbers that belong to nobody, if this process may take them; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    users = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    groups = [tuple(map(int, line.split())) for line in Path("/proc/self/gid_map").read_text().splitlines()]
    for first in (0x7E5A0000, 60000):
        if all(any(start <= first and first + 4096 <= start + n for start, _, n in ranges) for ranges in (users, groups)):
            return first
    return None


def count_user_threads() -> int:
    """The number of processes and threads that this user has already."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == os.getuid():
                count += sum(1 for _ in (folder / "task").iterdir())
        except OSError:  # ended meanwhile
            continue
    return count


def readable_paths(library: list[str], packages: list[str]) -> list[str]:
    """The host's paths that programs may read: the standard library without third-party packages, and `packages`."""
    third_party = set(third_party_folders(library))
    paths = list(packages)
    for folder in library:
        if not any(folder.startswith(parent + "/") for parent in library):
            entries = [entry for entry in Path(folder).iterdir() if entry.exists()]  # Debian has dead links here
            paths += [str(entry) for entry in entries if str(entry) not in third_party]
    return paths + ([namespaces.ZONES] if Path(namespaces.ZONES).is_dir() else [])


def serve_slots(control: socket.socket, setup: dict[str, Any], resident: int, processes: int | None) -> NoReturn:
    """Forks a slot for each request, which brings a socket for it; deletes the folders of slots that have ended."""
    inside = setup["tier"] == "namespaces"
    fork = kernel.Clone(kernel.CLONE_NEWPID, setup["thread_number"]) if inside else kernel.fork  # all of a slot ends with it
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not message:
            os._exit(0)
        request = json.loads(message)
        for name in request["old folders"]:
            with contextlib.suppress(OSError):
                Path(setup["base"], name).rmdir()
        if fork() == 0:
            control.close()
            run_slot(fds[0], setup, request, (resident, processes))
        os.close(fds[0])


def run_slot(descriptor: int, setup: dict[str, Any], request: dict[str, Any], sizes: tuple[int, int | None]) -> NoReturn:
    """A new slot's process, from the fork to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control = socket.socket(fileno=descriptor)
    try:
        place = slot.confine_slot(setup, request, *sizes)
    except OSError as error:
        control.send(json.dumps({"error": error_reason(error)}).encode())
        os._exit(1)
    try:
        slot.serve_programs(control, place)
    except BaseException:  # noqa: BLE001  a forked process must not return; the harness reads the reason
        sys.stderr.write(traceback.format_exc())
        sys.stderr.flush()
    os._exit(0)
