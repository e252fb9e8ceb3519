"""A slot: one place where programs run, one after another, each in two fresh processes forked from here.

It never reads a program, a test, an output or a verdict: they pass by as descriptors, so that nothing of them is left in
the memory that the next candidate is forked from.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.sandbox.inside import candidate, grader, kernel, landlock, namespaces
from harness.sandbox.inside.lockdown import Confinement, Resource, descriptors, lock, resources
from harness.sandbox.inside.scratch import Scratch, empty
from harness.sandbox.inside.seccomp import Filter

QUOTA_INTERVAL_S = 0.05
SETTLE_MS = 300


@dataclass(frozen=True)
class Place:
    """Where a slot's programs live."""

    confinement: Confinement
    scratch: Scratch


def prepare(setup: dict[str, Any], number: int, resident: int, processes: int | None) -> Place:
    """Confines the calling process as far as its children shall be, and makes their scratch folder."""
    tier, uid = setup["tier"], setup["uid"]
    mine = None if uid is None else uid + 2 * number
    inside = tier == "namespaces"
    folder = "/tmp" if inside else f"{setup['base']}/{number}"  # noqa: S108  the sandbox's own
    if inside:
        namespaces.scratch(None if mine is None else mine + 1, setup["scratch_mb"], setup["scratch_files"])
    else:
        Path(folder).mkdir(mode=0o700, exist_ok=True)
        empty(folder)  # of an earlier slot of that number, where nobody else could
        if mine is not None:
            os.chown(folder, mine + 1, mine + 1)
    os.environ.update(HOME=folder, TMPDIR=folder)
    os.chdir(folder)
    kernel.NO_NEW_PRIVILEGES()
    if tier == "landlock" or (tier != "none" and setup["landlock"]):
        reading, listing = (["/"], []) if inside else (setup["readable"], setup["library"])
        landlock.restrict(landlock.Grant(listing, reading, [folder], namespaces.DEVICES))
    confinement = Confinement(tier, mine, None if tier == "none" else Filter(own_files=inside), resident, processes)
    return Place(confinement, Scratch(folder, setup["scratch_mb"], setup["scratch_files"], own=inside))


def serve(control: socket.socket, place: Place) -> None:
    """Runs what is asked for, until the other end hangs up."""
    control.send(b"{}")
    while True:
        message, handed, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not message:
            return
        report = run(json.loads(message), handed, place, control)
        for fd in handed:
            os.close(fd)
        report["spent"] = not place.scratch.tidy()
        report["stamps"].append(time.monotonic())
        control.send(json.dumps(report).encode())


def run(request: dict[str, Any], handed: list[int], place: Place, control: socket.socket) -> dict[str, Any]:
    """One program: forks its two processes, waits for the grader, ends both.  Times in seconds."""
    started = time.monotonic()
    program, tests, output, verdict = handed
    limits = request["limits"]
    questions, replies = os.pipe(), os.pipe()
    nothing = os.open("/dev/null", os.O_RDWR)
    confinement = place.confinement
    lenient = {"cpu_s": limits["grader_cpu_s"], "memory_mb": limits["memory_mb"], "stack_mb": limits["stack_mb"]}
    for_judge, for_runner = resources(lenient, confinement), resources(limits, confinement)
    stamps = [started]
    judge = child([nothing, nothing, nothing, replies[0], questions[1], tests, verdict], confinement, for_judge, 0)
    runner = child([nothing, output, output, questions[0], replies[1], program], confinement, for_runner, 1)
    for fd in (*questions, *replies, nothing):
        os.close(fd)
    stamps.append(time.monotonic())
    why = wait(judge, started + limits["wall_s"], place, control)
    graded = ended(judge, why != "")
    ran = ended(runner, os.waitstatus_to_exitcode(graded[0]) != grader.GONE, SETTLE_MS)
    sweep(confinement)
    stamps.append(time.monotonic())
    return {
        "stamps": stamps,
        "stopped": why,
        "grader": os.waitstatus_to_exitcode(graded[0]),
        "candidate": os.waitstatus_to_exitcode(ran[0]),
        "killed": ran[2],
        "cpu": ran[1],
        "wall": time.monotonic() - started,
    }


def child(fds: list[int], confinement: Confinement, limits: list[Resource], role: int) -> int:
    """Forks a locked-down process; role 0 grades, role 1 runs the program.  Its descriptors become 0, 1, 2 ..."""
    pid = kernel.fork()
    if pid:
        return pid
    status = 1
    try:
        kernel.DIE_WITH_PARENT()
        os.setsid()
        descriptors(fds)
        lock(confinement, limits, role)
        if role:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            candidate.serve(3, 4, 5)
            status = 0
        else:
            status = grader.grade(3, 4, 5, 6)
    except BaseException as error:  # noqa: BLE001  whatever it is, the process must end here
        complain(error, confinement)
    finally:
        os._exit(status)


def complain(error: BaseException, confinement: Confinement) -> None:
    """Tells why a process could not be made ready, on its standard error."""
    sys.stderr.write(f"{type(error).__name__}: {error}\n")
    sys.stderr.flush()


def wait(judge: int, deadline: float, place: Place, control: socket.socket) -> str:
    """Until the grader has ended: "".  Else why it must be stopped: wall, disk, or abandoned."""
    watch = os.pidfd_open(judge)
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    poll.register(control.fileno(), 0)  # hang-ups only
    counting = not place.scratch.own and place.confinement.tier != "none"
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return "wall"
            events = poll.poll(1000 * (min(left, QUOTA_INTERVAL_S) if counting else left))
            if any(fd == watch for fd, _ in events):
                return ""
            if events:
                return "abandoned"
            if counting and place.scratch.over_quota():
                return "disk"
    finally:
        os.close(watch)


def ended(pid: int, kill: bool, settle_ms: int = 0) -> tuple[int, float, bool]:
    """Ends a child: its wait status, its processor seconds, and whether it had to be killed.

    Without `kill` it is given `settle_ms` to end by itself, so that its own reason is what is reported.
    """
    if not kill and settle_ms:
        watch = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        poll.poll(settle_ms)
        os.close(watch)
    done, status, usage = os.wait4(pid, os.WNOHANG)
    killed = not done
    if killed:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    while os.WIFSTOPPED(status):  # a traced process, where nothing forbids tracing
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    return status, usage.ru_utime + usage.ru_stime, killed


def sweep(confinement: Confinement) -> None:
    """Ends whatever else there is in the slot's process table (nothing, unless a lock failed)."""
    if confinement.tier == "namespaces":
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, 0 if confinement.tier == "namespaces" else os.WNOHANG)[0]:
            pass
