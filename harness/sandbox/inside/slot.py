"""A slot: runs programs, one after another, each in two fresh processes forked from here.

It never reads a program, a test, an output or a verdict: they pass as descriptors.  So nothing of them stays in its memory,
of which the next candidate is a copy.
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
from harness.sandbox.inside.lockdown import Confinement, ResourceLimit, arrange_descriptors, lock_down, resource_limits
from harness.sandbox.inside.scratch import ScratchFolder, empty_folder
from harness.sandbox.inside.seccomp import SeccompFilter

QUOTA_INTERVAL_S = 0.05
SETTLE_MS = 300


@dataclass(frozen=True)
class SlotPlace:
    """A slot's locks and its scratch folder."""

    confinement: Confinement
    scratch: ScratchFolder


def confine_slot(setup: dict[str, Any], number: int, resident: int, processes: int | None) -> SlotPlace:
    """Confines the calling process with the locks that hold for all its children, and makes their scratch folder.

    `number` is the slot's, from 0.  OSError where the machine forbids something.
    """
    tier, uid = setup["tier"], setup["uid"]
    slot_uid = None if uid is None else uid + 2 * number  # the grader's; the candidate's is the next
    inside = tier == "namespaces"
    folder = "/tmp" if inside else f"{setup['base']}/{number}"  # noqa: S108  the sandbox's own
    if inside:
        namespaces.mount_scratch(None if slot_uid is None else slot_uid + 1, setup["scratch_mb"], setup["scratch_files"])
    else:
        Path(folder).mkdir(mode=0o700, exist_ok=True)
        empty_folder(folder)  # in a container only this process can delete the files of an earlier slot of that number
        if slot_uid is not None:
            os.chown(folder, slot_uid + 1, slot_uid + 1)
    os.environ.update(HOME=folder, TMPDIR=folder)
    os.chdir(folder)
    kernel.NO_NEW_PRIVILEGES()
    if tier == "landlock" or (tier != "none" and setup["landlock"]):
        reading, listing = (["/"], []) if inside else (setup["readable"], setup["library"])
        landlock.restrict(listing, reading, [folder], namespaces.DEVICES)
    confinement = Confinement(tier, slot_uid, None if tier == "none" else SeccompFilter(own_files=inside), resident, processes)
    return SlotPlace(confinement, ScratchFolder(folder, setup["scratch_mb"], setup["scratch_files"], own_filesystem=inside))


def serve_programs(control: socket.socket, place: SlotPlace) -> None:
    """Runs a program for each request, until the harness hangs up."""
    control.send(b"{}")
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not message:
            return
        report = run_program(json.loads(message), fds, place, control)
        for fd in fds:
            os.close(fd)
        report["spent"] = not place.scratch.tidy()
        report["stamps"].append(time.monotonic())
        control.send(json.dumps(report).encode())


def run_program(request: dict[str, Any], fds: list[int], place: SlotPlace, control: socket.socket) -> dict[str, Any]:
    """One program: forks its two processes, waits for the grader, ends both; gives the report.  Times in seconds."""
    start = time.monotonic()
    program, tests, output, verdict = fds
    limits = request["limits"]
    questions, replies = os.pipe(), os.pipe()
    nothing = os.open("/dev/null", os.O_RDWR)
    confinement = place.confinement
    grader_settings = {"cpu_s": limits["grader_cpu_s"], "memory_mb": limits["memory_mb"], "stack_mb": limits["stack_mb"]}
    grader_limits = resource_limits(grader_settings, confinement)
    candidate_limits = resource_limits(limits, confinement)
    stamps = [start]
    grader_fds = [nothing, nothing, nothing, replies[0], questions[1], tests, verdict]
    grader_pid = fork_locked(grader_fds, confinement, grader_limits, 0)
    candidate_fds = [nothing, output, output, questions[0], replies[1], program]
    candidate_pid = fork_locked(candidate_fds, confinement, candidate_limits, 1)
    for fd in (*questions, *replies, nothing):
        os.close(fd)
    stamps.append(time.monotonic())
    why = wait_for_grader(grader_pid, start + limits["wall_s"], place, control)
    grader_status = os.waitstatus_to_exitcode(end_child(grader_pid, why != "")[0])
    # A candidate that ended first is given time to end by itself, so that the report has its own reason.
    status, cpu, was_killed = end_child(candidate_pid, grader_status != grader.CANDIDATE_GONE, SETTLE_MS)
    end_strays(confinement)
    stamps.append(time.monotonic())
    return {
        "stamps": stamps,
        "stopped": why,
        "grader": grader_status,
        "candidate": os.waitstatus_to_exitcode(status),
        "killed": was_killed,
        "cpu": cpu,
        "wall": time.monotonic() - start,
    }


def fork_locked(fds: list[int], confinement: Confinement, limits: list[ResourceLimit], role: int) -> int:
    """Forks a locked-down process; role 0 grades, role 1 runs the program.  Its descriptors become 0, 1, 2 ..."""
    pid = kernel.fork()
    if pid:
        return pid
    status = 1
    try:
        kernel.DIE_WITH_PARENT()
        os.setsid()  # no terminal and no process group of the harness
        arrange_descriptors(fds)
        lock_down(confinement, limits, role)
        if role:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            candidate.serve_calls(3, 4, 5)
            status = 0
        else:
            status = grader.grade(3, 4, 5, 6)
    except BaseException as error:  # noqa: BLE001  the process must end here, whatever happens
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(status)


def wait_for_grader(pid: int, deadline: float, place: SlotPlace, control: socket.socket) -> str:
    """Waits for the grader's end: "".  Else the reason to stop it: wall, disk, or abandoned (the harness has hung up)."""
    watch = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    poll.register(control.fileno(), 0)  # hang-ups only
    counting = not place.scratch.own_filesystem and place.confinement.tier != "none"
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


def end_child(pid: int, kill: bool, settle_ms: int = 0) -> tuple[int, float, bool]:
    """Ends a child: (its wait status, its processor seconds, whether it had to be killed).

    Without `kill` it has `settle_ms` to end by itself.
    """
    if not kill and settle_ms:
        watch = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        poll.poll(settle_ms)
        os.close(watch)
    ended_pid, status, usage = os.wait4(pid, os.WNOHANG)
    must_kill = not ended_pid
    if must_kill:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    while os.WIFSTOPPED(status):  # a traced process, where nothing forbids tracing
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    return status, usage.ru_utime + usage.ru_stime, must_kill


def end_strays(confinement: Confinement) -> None:
    """Ends every other process in the slot's process table (there is none, unless a lock failed)."""
    if confinement.tier == "namespaces":
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, 0 if confinement.tier == "namespaces" else os.WNOHANG)[0]:
            pass
