"""A program's two processes, seen from the slot: waiting for their end, and ending them."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from dataclasses import dataclass

from harness.sandbox.inside import grader
from harness.sandbox.inside.scratch import ScratchFolder

QUOTA_INTERVAL_S = 0.05
SETTLE_MS = 300
BUSY_TEST_S = 0.05  # of processor time
BUSY_TESTS = 5  # of which one tells that a child is busy too


class Child:
    """A child of this process, until it is reaped."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self.alive, self.was_killed = True, False
        self.status, self.cpu_s = 0, 0.0

    def reap(self) -> None:
        """Waits for its end."""
        while self.alive:
            _, status, usage = os.wait4(self.pid, 0)
            if os.WIFSTOPPED(status):  # a traced process, where nothing forbids tracing
                os.kill(self.pid, signal.SIGKILL)
                continue
            self.alive, self.status, self.cpu_s = False, os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
            os.close(self.handle)

    def kill(self) -> None:
        """Ends it, unless it has ended."""
        if self.alive:
            self.was_killed = not select.select([self.handle], [], [], 0)[0]
            if self.was_killed:
                os.kill(self.pid, signal.SIGKILL)
            self.reap()

    def processor_time(self) -> float:
        """Its processor seconds up to now; 0 where it has ended."""
        return time.clock_gettime((~self.pid << 3) | 2) if self.alive else 0.0  # CPUCLOCK_SCHED of another process


@dataclass
class PairSupervision:
    """The two processes of a program, watched until the grader's end.

    `quota`: the scratch folder where its size must be watched; `own_table`: the process table is theirs alone.
    """

    grader: Child
    candidate: Child
    control: socket.socket
    quota: ScratchFolder | None
    own_table: bool

    def wait(self, deadline: float, patience: float) -> str:
        """Waits for the grader's end: "".  Else the reason to stop it: wall, disk, or abandoned (the harness has hung up).

        While the machine is too busy to give the two their processor time, the clock on the wall does not count, until
        `patience` times its limit.
        """
        poll = select.poll()
        for child in (self.grader, self.candidate):
            poll.register(child.handle, select.POLLIN)
        poll.register(self.control.fileno(), 0)  # hang-ups only
        step = deadline - time.monotonic()
        last = deadline + (patience - 1) * step
        while True:
            left = deadline - time.monotonic()
            if left <= 0 and not (deadline < last and self.is_kept_waiting()):
                return "wall"
            deadline += step / 4 if left <= 0 else 0
            handles = {fd for fd, _ in poll.poll(1000 * max(min(left, QUOTA_INTERVAL_S) if self.quota else left, 0))}
            if self.candidate.handle in handles:  # at once: the kernel keeps the grader's process table until then
                poll.unregister(self.candidate.handle)
                self.candidate.reap()
            elif self.grader.handle in handles:
                return ""
            elif handles:
                return "abandoned"
            elif self.quota and self.quota.over_quota():
                return "disk"

    def is_kept_waiting(self) -> bool:
        """Does one of the two want the processor?  Then it gets some of it while this process is busy as well.

        The time is this process's own, not the wall's: on a busy machine nobody may get any for many milliseconds.  Several
        trials, as this process may have a processor to itself while a child shares another one with many.
        """
        before = [child.processor_time() for child in (self.grader, self.candidate)]
        for _ in range(BUSY_TESTS):
            end = time.process_time() + BUSY_TEST_S
            while time.process_time() < end:
                pass
            after = [child.processor_time() for child in (self.grader, self.candidate)]
            if any(b - a >= BUSY_TEST_S / 5 for a, b in zip(before, after, strict=True)):
                return True
        return False

    def end(self, why: str) -> None:
        """Ends and reaps both."""
        if why:
            self.candidate.kill()
            self.grader.kill()
            return
        if self.own_table:  # with the grader the kernel has ended every process of its table
            self.candidate.reap()
        self.grader.reap()
        candidate_first = self.grader.status == grader.CANDIDATE_GONE
        # A candidate that ended first is given time to end by itself, so that the report has its own reason.
        if candidate_first and self.candidate.alive:
            select.select([self.candidate.handle], [], [], SETTLE_MS / 1000)
        self.candidate.kill()
        if self.own_table and candidate_first and self.candidate.status == -signal.SIGKILL:
            self.candidate.was_killed = True
