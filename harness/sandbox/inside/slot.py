"""A slot: supervises programs, one after another, each in two fresh processes, a grader and a candidate.

It never reads a program, a test, an output or a verdict: they pass as descriptors.  In namespaces `forker` forks the
processes, so that no candidate is a copy of a process that has seen an earlier one.  Elsewhere a slot serves one program.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from harness.sandbox.inside import candidate, forker, grader, kernel, landlock, namespaces
from harness.sandbox.inside.lockdown import Confinement, ResourceLimit, arrange_descriptors, lock_down, resource_limits
from harness.sandbox.inside.place import Fork, ScratchFolder, SlotPlace, empty_folder
from harness.sandbox.inside.seccomp import SeccompFilter

QUOTA_INTERVAL_S = 0.05
SETTLE_MS = 300
BUSY_TEST_S = 0.05
MAX_PATIENCE = 10  # times the wall clock's limit, for a program that is kept from its processor time


def confine_slot(setup: dict[str, Any], request: dict[str, Any], resident: int, processes: int | None) -> SlotPlace:
    """Confines the calling process with the locks that hold for all its children, and chooses their scratch folder.

    `request` has the slot's number, for users of its own, and the name of its folder, which nobody can guess.  OSError where
    the machine forbids something.
    """
    tier, uid = setup["tier"], setup["uid"]
    slot_uid = None if uid is None else uid + 2 * request["number"]  # the grader's; the candidate's is the next
    inside = tier == "namespaces"
    folder = setup["scratch"] if inside else f"{setup['base']}/{request['folder']}"
    if not inside:
        Path(folder).mkdir(mode=0o700)
        if slot_uid is not None:
            os.chown(folder, slot_uid + 1, slot_uid + 1)
        os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder)
    has_landlock = tier == "landlock" or (tier != "none" and setup["landlock"])
    if has_landlock and not inside:  # in namespaces each program has a new folder, and so rules of its own
        ruleset = landlock.make_ruleset(setup["library"], setup["readable"], [folder], namespaces.DEVICES)
        landlock.restrict(ruleset)
        os.close(ruleset)
    kernel.NO_NEW_PRIVILEGES()
    locks = None if tier == "none" else SeccompFilter(own_files=inside)
    confinement = Confinement(tier, slot_uid, locks, resident, has_landlock and inside, processes)
    scratch = ScratchFolder(folder, setup["scratch_mb"], setup["scratch_files"], own_filesystem=inside)
    return SlotPlace(confinement, scratch, setup.get("mounts", -1))


def serve_programs(control: socket.socket, place: SlotPlace) -> None:
    """Runs a program for each request, until the harness hangs up."""
    forks = start_forker(place, control) if place.scratch.own_filesystem else None
    control.send(b"{}")
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not message:
            return
        report = run_program(message, fds, place, control, forks)
        for fd in fds:
            os.close(fd)
        if not place.scratch.own_filesystem:
            empty_folder(place.scratch.folder)
        report["spent"] = not place.scratch.own_filesystem
        report["stamps"].append(time.monotonic())
        control.send(json.dumps(report).encode())


def start_forker(place: SlotPlace, control: socket.socket) -> socket.socket:
    """Forks the forker; gives the connection to it."""
    place = replace(place, thread_numbers=kernel.thread_number_places())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if kernel.fork() == 0:
        try:
            kernel.DIE_WITH_PARENT()
            control.close()
            ours.close()
            forker.serve_forks(theirs, place, start_pair)
        except BaseException as error:  # noqa: BLE001  the process must end here, whatever happens; the harness reads the reason
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.stderr.flush()
        finally:
            os._exit(1)
    theirs.close()
    return ours


def start_pair(
    request: dict[str, Any], fds: list[int], place: SlotPlace, forks: tuple[Fork, Fork], ruleset: int = -1
) -> list[int]:
    """Starts a program's two processes, under the rules of Landlock: the numbers of the grader and the candidate."""
    program, tests, output, verdict = fds
    limits = request["limits"]
    questions, replies = os.pipe(), os.pipe()
    nothing = os.open("/dev/null", os.O_RDWR)
    grader_settings = {"cpu_s": limits["grader_cpu_s"], "memory_mb": limits["memory_mb"], "stack_mb": limits["stack_mb"]}
    grader_fds = [nothing, nothing, nothing, replies[0], questions[1], tests, verdict]
    candidate_fds = [nothing, output, output, questions[0], replies[1], program]
    pids = []
    for role, (own_fds, settings) in enumerate(((grader_fds, grader_settings), (candidate_fds, limits))):
        own_limits = resource_limits(settings, place.confinement)
        pids.append(forks[role]() or run_locked(own_fds, (place.confinement, own_limits, ruleset), role))
    for fd in (*questions, *replies, nothing):
        os.close(fd)
    return pids


def run_locked(fds: list[int], locks: tuple[Confinement, list[ResourceLimit], int], role: int) -> NoReturn:
    """Locks the calling process down and does its work; role 0 grades, role 1 runs the program.

    Its descriptors become 0, 1, 2 ...  `locks`: the last is a descriptor of Landlock's rules, or -1.
    """
    confinement, limits, ruleset = locks
    status = 1
    try:
        kernel.DIE_WITH_PARENT()
        os.setsid()  # no terminal and no process group of the harness
        if ruleset >= 0:
            landlock.restrict(ruleset)
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


def run_program(
    message: bytes, fds: list[int], place: SlotPlace, control: socket.socket, forks: socket.socket | None
) -> dict[str, Any]:
    """One program: starts its two processes, waits for the grader, ends both; gives the report.  Times in seconds."""
    start = time.monotonic()
    request = json.loads(message)
    if forks:
        socket.send_fds(forks, [message], fds)
        grader_pid, candidate_pid = json.loads(forks.recv(1 << 12) or "null")
    else:
        grader_pid, candidate_pid = start_pair(request, fds, place, (kernel.fork, kernel.fork))
    started = time.monotonic()
    watch = Watch(Child(grader_pid), Child(candidate_pid), place, control)
    why = watch.wait(start + request["limits"]["wall_s"], request["patient"])
    watch.end(why)
    return {
        "stamps": [start, started, time.monotonic()],
        "stopped": why,
        "grader": watch.grader.status,
        "candidate": watch.candidate.status,
        "killed": watch.candidate.killed,
        "cpu": watch.candidate.cpu_s,
        "wall": time.monotonic() - start,
    }


class Child:
    """A child of this process, until it is reaped."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self.ended, self.killed = False, False
        self.status, self.cpu_s = 0, 0.0

    def reap(self) -> None:
        """Waits for its end."""
        while not self.ended:
            _, status, usage = os.wait4(self.pid, 0)
            if os.WIFSTOPPED(status):  # a traced process, where nothing forbids tracing
                os.kill(self.pid, signal.SIGKILL)
                continue
            self.ended, self.status, self.cpu_s = True, os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
            os.close(self.handle)

    def kill(self) -> None:
        """Ends it, unless it has ended."""
        if not self.ended:
            ended = select.select([self.handle], [], [], 0)[0]
            self.killed = not ended
            if not ended:
                os.kill(self.pid, signal.SIGKILL)
            self.reap()

    def processor_time(self) -> float:
        """Its processor seconds up to now; 0 where it has ended."""
        return 0.0 if self.ended else time.clock_gettime((~self.pid << 3) | 2)  # CPUCLOCK_SCHED of another process


@dataclass
class Watch:
    """The two processes of a program, watched until the grader's end."""

    grader: Child
    candidate: Child
    place: SlotPlace
    control: socket.socket

    def wait(self, deadline: float, patient: bool) -> str:
        """Waits for the grader's end: "".  Else the reason to stop it: wall, disk, or abandoned (the harness has hung up).

        `patient`: while the machine is too busy to give the two their processor time, the clock on the wall does not count.
        """
        poll = select.poll()
        for child in (self.grader, self.candidate):
            poll.register(child.handle, select.POLLIN)
        poll.register(self.control.fileno(), 0)  # hang-ups only
        counting = not self.place.scratch.own_filesystem and self.place.confinement.tier != "none"
        step = deadline - time.monotonic()
        last = deadline + (MAX_PATIENCE - 1) * step
        while True:
            left = deadline - time.monotonic()
            if left <= 0 and not (patient and deadline < last and self.is_kept_waiting()):
                return "wall"
            deadline += step / 4 if left <= 0 else 0
            handles = {fd for fd, _ in poll.poll(1000 * max(min(left, QUOTA_INTERVAL_S) if counting else left, 0))}
            if self.candidate.handle in handles:  # at once: the kernel keeps the grader's process table until then
                poll.unregister(self.candidate.handle)
                self.candidate.reap()
            elif self.grader.handle in handles:
                return ""
            elif handles:
                return "abandoned"
            elif counting and self.place.scratch.over_quota():
                return "disk"

    def is_kept_waiting(self) -> bool:
        """Does one of the two want the processor?  Then it gets as much of it as this process, while both are busy."""
        before = [child.processor_time() for child in (self.grader, self.candidate)]
        own, end = time.process_time(), time.monotonic() + BUSY_TEST_S
        while time.monotonic() < end:
            pass
        share = (time.process_time() - own) / 2
        after = [child.processor_time() for child in (self.grader, self.candidate)]
        return any(b - a >= share for a, b in zip(before, after, strict=True))

    def end(self, why: str) -> None:
        """Ends and reaps both."""
        if why:
            self.candidate.kill()
            self.grader.kill()
            return
        own_table = self.place.scratch.own_filesystem
        if own_table:  # with the grader the kernel has ended every process of its table
            self.candidate.reap()
        self.grader.reap()
        gone = self.grader.status == grader.CANDIDATE_GONE
        # A candidate that ended first is given time to end by itself, so that the report has its own reason.
        if gone and not self.candidate.ended:
            select.select([self.candidate.handle], [], [], SETTLE_MS / 1000)
        self.candidate.kill()
        if own_table and gone and self.candidate.status == -signal.SIGKILL:
            self.candidate.killed = True
