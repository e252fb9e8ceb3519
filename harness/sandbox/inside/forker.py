"""The process that forks a slot's programs, each into namespaces of its own.

It learns nothing of any program: not its output, its end or its time.  So a later program, whose memory is a copy of this
process's, learns nothing either.  Each finds a new /tmp, and process numbers that begin at 1 with the grader; both end with the
program.  System V objects and message queues need no namespace of their own: seccomp lets no program make one.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from harness.sandbox.inside import kernel, landlock, namespaces
from harness.sandbox.inside.place import Fork, SlotPlace

Start = Callable[[dict[str, Any], list[int], SlotPlace, tuple[Fork, Fork], int], list[int]]


def serve_forks(control: socket.socket, place: SlotPlace, start: Start) -> NoReturn:
    """Forks a grader and a candidate for each request, and answers with their numbers.  They are children of the slot."""
    forks = NamespaceForks(place)
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not message:
            os._exit(0)
        forks.enter()
        ruleset = (
            landlock.make_ruleset([], ["/"], [place.scratch.folder], namespaces.DEVICES) if place.confinement.own_rules else -1
        )
        pids = start(json.loads(message), fds, place, (forks.fork_grader, forks.fork_candidate), ruleset)
        forks.leave()
        for fd in (*fds, *([ruleset] if ruleset >= 0 else [])):
            os.close(fd)
        control.send(json.dumps(pids).encode())


class NamespaceForks:
    """This process's own namespaces, and the ways into new ones and back."""

    def __init__(self, place: SlotPlace) -> None:
        self.place = place
        self.mounts = place.mounts
        self.processes = os.pidfd_open(os.getpid())
        self.thread_number = kernel.thread_number_address(place.thread_numbers)

    def enter(self) -> None:
        """New mounts with a new /tmp, for this process and those that it forks."""
        kernel.unshare(kernel.CLONE_NEWNS)
        scratch, uid = self.place.scratch, self.place.confinement.uid
        namespaces.mount_scratch(scratch.folder, None if uid is None else uid + 1, scratch.megabytes, scratch.files)
        os.chdir(scratch.folder)

    def fork_grader(self) -> int:
        """Number 1 of a new process table, which ends with it; the candidate will be number 2."""
        pid = kernel.clone(kernel.CLONE_PARENT | kernel.CLONE_NEWPID, self.thread_number)
        if pid:
            table = os.pidfd_open(pid)
            kernel.setns(table, kernel.CLONE_NEWPID)
            os.close(table)
        return pid

    def fork_candidate(self) -> int:
        return kernel.clone(kernel.CLONE_PARENT, self.thread_number)

    def leave(self) -> None:
        kernel.setns(self.processes, kernel.CLONE_NEWPID)
        kernel.setns(self.mounts, kernel.CLONE_NEWNS)
