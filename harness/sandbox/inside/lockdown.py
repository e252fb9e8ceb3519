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


Resource = tuple[int, tuple[int, int]]  # which, and its soft and hard limit


def resources(limits: dict[str, float], confinement: Confinement) -> list[Resource]:
    """The kernel's own limits for a process."""
    cpu, threads = int(limits["cpu_s"]), int(limits.get("threads", 64)) + 1
    if confinement.uid is None and confinement.tier != "namespaces":
        threads += confinement.processes or 0
    found = {
        resource.RLIMIT_AS: confinement.resident + int(limits["memory_mb"]) * MIB,
        resource.RLIMIT_STACK: int(limits["stack_mb"]) * MIB,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 64 << 10,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NPROC: threads,
    }
    if "file_mb" in limits:
        found[resource.RLIMIT_FSIZE] = int(limits["file_mb"]) * MIB
    if "open_files" in limits:
        found[resource.RLIMIT_NOFILE] = int(limits["open_files"])
    return [(resource.RLIMIT_CPU, (cpu, cpu + 1)), *((which, (most, most)) for which, most in found.items())]


def lock(confinement: Confinement, limits: list[Resource], role: int) -> None:
    """For ever: limits, a user of its own, no capability, no new privileges, no system call but the allowed ones.

    `role` (0 grader, 1 candidate) keeps their user numbers apart.
    """
    if confinement.uid is not None:
        mine = confinement.uid + role
        os.setgroups([])
        os.setresgid(mine, mine, mine)
        os.setresuid(mine, mine, mine)
    elif confinement.tier == "namespaces":
        kernel.OWN_USER()  # a count of processes of its own, and nobody's user
    for which, pair in limits:  # only now: a user namespace keeps the limits that it is made under, for all its processes
        resource.setrlimit(which, pair)
    kernel.NO_NEW_PRIVILEGES()
    if confinement.tier != "none":
        kernel.NO_DUMP()
        kernel.DROP_CAPABILITIES()
    if confinement.filter:
        confinement.filter.install(os.getpid())
