"""How a grader or a candidate gives up everything that it does not need, after the fork and before it reads anything."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

from harness.sandbox.inside import kernel
from harness.sandbox.inside.seccomp import Filter

MIB = 1 << 20


@dataclass(frozen=True)
class Confinement:
    """What a slot's processes are locked into."""

    tier: str  # namespaces, landlock or none
    uid: int | None  # a user number that nobody else has; None: the harness runs as an ordinary user
    filter: Filter | None  # of system calls; None in tier "none"
    resident: int  # bytes of address space that the interpreter takes itself
    processes: int | None  # limit on the user's processes and threads where the slot has no user of its own


def descriptors(wanted: list[int]) -> None:
    """Makes `wanted` the descriptors 0, 1, 2 ..., and closes all others."""
    high = [os.dup(fd) for fd in wanted]
    while min(high) < len(wanted):
        high = [os.dup(fd) for fd in high]
    for target, fd in enumerate(high):
        os.dup2(fd, target)
    os.closerange(len(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def limit(what: int, soft: int, hard: int | None = None) -> None:
    resource.setrlimit(what, (soft, soft if hard is None else hard))


def resources(limits: dict[str, float], confinement: Confinement) -> None:
    """The kernel's own limits for the calling process."""
    cpu = int(limits["cpu_s"])
    limit(resource.RLIMIT_CPU, cpu, cpu + 1)
    limit(resource.RLIMIT_AS, confinement.resident + int(limits["memory_mb"]) * MIB)
    limit(resource.RLIMIT_STACK, int(limits["stack_mb"]) * MIB)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_MEMLOCK, 64 << 10)
    limit(resource.RLIMIT_MSGQUEUE, 0)
    if "file_mb" in limits:
        limit(resource.RLIMIT_FSIZE, int(limits["file_mb"]) * MIB)
    if "open_files" in limits:
        limit(resource.RLIMIT_NOFILE, int(limits["open_files"]))


def lock(confinement: Confinement, limits: dict[str, float], role: int) -> None:
    """For ever: limits, a user of its own, no capability, no new privileges, no system call but the allowed ones.

    `role` (0 grader, 1 candidate) keeps their user numbers apart.
    """
    resources(limits, confinement)
    threads = int(limits.get("threads", 64)) + 1
    if confinement.uid is not None:
        mine = confinement.uid + role
        os.setgroups([])
        os.setresgid(mine, mine, mine)
        os.setresuid(mine, mine, mine)
    elif confinement.tier == "namespaces":
        kernel.unshare(kernel.CLONE_NEWUSER)  # a count of processes of its own, and nobody's user
    elif confinement.processes is not None:
        threads += confinement.processes
    limit(resource.RLIMIT_NPROC, threads)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if confinement.tier != "none":
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.drop_capabilities()
    if confinement.filter:
        confinement.filter.install(os.getpid())
