"""Work on a stranger's file (a template, a tokenizer, an expression) in a process that can be ended: little time and memory."""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from typing import NoReturn

from harness.rust_panics import panics_as_errors

SECONDS = 20.0  # of processor time; what is published takes a ten-thousandth
PATIENCE = 10  # times as long by the clock, for a machine that is busy
MEMORY = 1 << 30  # bytes beyond what the process has
LONGEST = 20_000_000  # letters of one text
DONE, LONG, FAILED = b"d", b"l", b"f"


def try_in_child(work: Callable[[], Iterable[Sized]], seconds: float) -> bytes:
    """How work on a stranger's file ends in a process of `seconds` of processor time and MEMORY.

    DONE; LONG where something that it makes is longer than LONGEST; FAILED where it raises; else it has no end.
    """
    reader, writer = os.pipe()
    child = fork_beside_threads()
    if not child:
        work_in_child(work, writer, seconds)
    os.close(writer)
    try:
        outcome = wait_for_byte(reader, seconds * PATIENCE)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)  # it is there until it is waited for
        os.waitpid(child, 0)
    return outcome


def fork_beside_threads() -> int:
    """os.fork() without its warning of threads, for a child that calls none of their libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def wait_for_byte(reader: int, seconds: float) -> bytes:
    """What the child says; b"" where it died, or said nothing in that time."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            return os.read(reader, 1)
    return b""


def work_in_child(work: Callable[[], Iterable[Sized]], writer: int, seconds: float) -> NoReturn:
    """Works within limits, says how it ended, and ends the process without the parent's own clean-up."""
    outcome = b""
    faulthandler.disable()  # that this process ends by a signal is what the parent wants to know
    gc.freeze()  # what the parent has left for the collector may be tensors on a device, which no child may touch
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) if Path("/proc").is_dir() else 0
        if pages:
            lower_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY)
        lower_limit(resource.RLIMIT_CPU, int(seconds) + 1)
        outcome = find_outcome(work)
    finally:  # without its limits nothing is done, and the file is refused
        os.write(writer, outcome)
        os._exit(0)


def find_outcome(work: Callable[[], Iterable[Sized]]) -> bytes:
    """What the work comes to; b"" where memory runs out."""
    try:
        with panics_as_errors():
            return LONG if any(len(text) > LONGEST for text in work()) else DONE
    except Exception as error:  # noqa: BLE001  the parent meets the same error, and reports it
        causes = (error, error.__cause__, error.__context__)
        return b"" if any(isinstance(cause, MemoryError) for cause in causes) else FAILED


def lower_limit(kind: int, amount: int) -> None:
    """Limits this process; one that it has already may be lower, and only root may raise it."""
    hard = resource.getrlimit(kind)[1]
    limit = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (limit, limit))
