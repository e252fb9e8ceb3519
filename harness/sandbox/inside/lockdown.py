"""A grader or a candidate gives up everything that it does not need, after the fork and before it reads anything.

The grader is locked down as well: a program may send it values that attack its decoder.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass

from harness.sandbox.inside import kernel
from harness.sandbox.inside.seccomp import SeccompFilter

MIB = 1 << 20


@dataclass(frozen=True)
class Confinement:
    """The locks of a slot's processes."""

    tier: str  # namespaces, landlock or none
    uid: int | None  # a user number of its own; None: an ordinary user runs the harness and cannot change users
    filter: SeccompFilter | None  # of system calls; None in tier "none"
    resident: int  # bytes of address space that the interpreter itself takes
    own_rules: bool  # each program has Landlock's rules of its own, as its folder is new
    processes: int | None  # the user's own processes and threads, which count too where the slot has no user of its own
    file_uid: int | None = None  # as whom files are opened, where `uid` may not enter the library's folders


def arrange_descriptors(fds: Sequence[int]) -> None:
    """Makes `fds` the descriptors 0, 1, 2 ..., and closes all others: an open descriptor passes every other lock."""
    high = list(fds)
    while min(high) < len(fds):  # first out of the way of the targets
        high = [fd if fd >= len(fds) else os.dup(fd) for fd in high]
    for target, fd in enumerate(high):
        os.dup2(fd, target)
    os.closerange(len(fds), resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def close_descriptors(fds: Sequence[int]) -> None:
    """Closes them, those with numbers in a row by one call."""
    ordered = sorted(fds)
    first = 0
    for i, fd in enumerate(ordered):
        if i + 1 == len(ordered) or ordered[i + 1] != fd + 1:
            os.closerange(ordered[first], fd + 1)
            first = i + 1


ResourceLimit = tuple[int, tuple[int, int]]  # which, and its soft and hard limit


def resource_limits(limits: dict[str, float], confinement: Confinement) -> list[ResourceLimit]:
    """The kernel's limits for a process, by the settings in `limits`."""
    cpu, threads = int(limits["cpu_s"]), int(limits.get("threads", 64)) + 1
    if confinement.uid is None and confinement.tier != "namespaces":
        threads += confinement.processes or 0
    maxima = {
        resource.RLIMIT_AS: confinement.resident + int(limits["memory_mb"]) * MIB,  # memory
        resource.RLIMIT_STACK: int(limits["stack_mb"]) * MIB,  # deep recursion ends as an error of the program
        resource.RLIMIT_CORE: 0,  # no core dump fills the disk
        resource.RLIMIT_MEMLOCK: 64 << 10,  # hardly any memory that cannot be swapped out
        resource.RLIMIT_MSGQUEUE: 0,  # no message queue outlives the program
        resource.RLIMIT_NPROC: threads,  # a thread bomb
    }
    if "file_mb" in limits:  # any one file, and the program's output, which is a file
        maxima[resource.RLIMIT_FSIZE] = int(limits["file_mb"]) * MIB
    if "open_files" in limits:
        maxima[resource.RLIMIT_NOFILE] = int(limits["open_files"])
    # One second after the soft limit's signal, which a program may ignore, the hard limit ends it.
    return [(resource.RLIMIT_CPU, (cpu, cpu + 1)), *((which, (value, value)) for which, value in maxima.items())]


def take_user(uid: int, file_uid: int | None) -> None:
    """Becomes the user `uid`, who opens files as `file_uid` (None: as himself).  Only for root.

    With `file_uid` a capability is left, which the caller must drop.
    """
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    if file_uid is None:
        os.setresuid(uid, uid, uid)
        return
    kernel.KEEP_CAPABILITIES()
    os.setresuid(uid, uid, uid)
    kernel.KEEP_CAP_SETUID()
    kernel.LIBC.setfsuid(file_uid)  # tells no error: a wrong user meets closed folders


def lock_down(confinement: Confinement, limits: Sequence[ResourceLimit], role: int) -> None:
    """Irrevocably: a user of its own, limits, no capability, no new privileges, no system call but the allowed ones.

    `role` (0 grader, 1 candidate) separates their user numbers, so that neither may signal or trace the other.
    """
    if confinement.uid is not None:
        take_user(confinement.uid + role, confinement.file_uid)
    elif confinement.tier == "namespaces":
        kernel.OWN_USER()
    for which, pair in limits:  # only now: a new user namespace applies its maker's limits to all its processes together
        resource.setrlimit(which, pair)
    kernel.NO_NEW_PRIVILEGES()
    if confinement.tier != "none":
        kernel.NO_DUMP()
        kernel.DROP_CAPABILITIES()
    if confinement.filter:  # last, as it forbids most of the calls above
        confinement.filter.install(os.getpid())
