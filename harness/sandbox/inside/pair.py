"""The two processes of a program: a grader and a candidate, from the fork to their lock-down."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from harness.sandbox.inside import candidate, grader, kernel, stand_ins
from harness.sandbox.inside.lockdown import Confinement, ResourceLimit, arrange_descriptors, lock_down, resource_limits
from harness.sandbox.inside.scratch import ScratchFolder


@dataclass(frozen=True)
class SlotPlace:
    """A slot's locks and its scratch folder; `thread_number`: see kernel.thread_number_address."""

    confinement: Confinement
    scratch: ScratchFolder
    thread_number: int = 0


def pair_limits(limits: dict[str, Any], confinement: Confinement) -> list[list[ResourceLimit]]:
    """The kernel's limits for the grader and the candidate, by a program's settings."""
    settings = {"cpu_s": limits["grader_cpu_s"], "memory_mb": limits["memory_mb"], "stack_mb": limits["stack_mb"]}
    return [resource_limits(settings, confinement), resource_limits(limits, confinement)]


def pack_limits(limits: Sequence[list[ResourceLimit]]) -> bytes:
    """The limits of the grader and the candidate as 8-byte integers, three for each limit, behind the grader's count."""
    numbers = [number for of_process in limits for which, pair in of_process for number in (which, *pair)]
    return struct.pack(f"{len(numbers) + 1}q", len(limits[0]), *numbers)


def unpack_limits(message: bytes) -> tuple[Sequence[ResourceLimit], Sequence[ResourceLimit]]:
    """What `pack_limits` packed: in a fraction of the time that JSON takes in a process whose memory is shared."""
    count, *numbers = struct.unpack(f"{len(message) // 8}q", message)
    limits = tuple((numbers[i], (numbers[i + 1], numbers[i + 2])) for i in range(0, len(numbers), 3))
    return limits[:count], limits[count:]


def open_lines(confinement: Confinement) -> list[int]:
    """Descriptors that the two need besides a program's files: two pipes (reading, writing), /dev/null, and spare pairs."""
    spare = [end for process in ("candidate", "grader") for end in stand_ins.open_spare(process)] if confinement.filter else []
    return [*os.pipe(), *os.pipe(), os.open("/dev/null", os.O_RDWR), *spare]


def prepare_forks(confinement: Confinement) -> None:
    """Changes the calling process into one that forks graders and candidates: each inherits what it would change itself.

    From here on it has the candidate's stand-ins itself: it may make no pipe and no pair of sockets.
    """
    if confinement.filter:
        stand_ins.install_stand_ins()


def start_pair(
    limits: Sequence[Sequence[ResourceLimit]],
    fds: Sequence[int],
    confinement: Confinement,
    calls: tuple[Callable[[], int], Callable[[], int], Callable[[], int] | None],
) -> list[int]:
    """Starts a program's two processes: the numbers of the grader and the candidate.

    `fds`: of the program, its tests, output and verdict, then those of `open_lines`.  `calls`: the forks of the two,
    and Landlock's restriction where each program has rules of its own.
    """
    program, tests, output, verdict, questions, ask, replies, reply, nothing = fds[:9]
    split = 9 + 2 * stand_ins.SPARE_PAIRS["candidate"]  # the spare pairs of each are its own: the two do not meet there
    candidate_fds = (nothing, output, output, questions, reply, program, *fds[9:split])
    grader_fds = (nothing, nothing, nothing, replies, ask, tests, verdict, *fds[split:])
    fork_grader, fork_candidate, restrict = calls
    grader_pid = fork_grader() or run_locked(grader_fds, (confinement, limits[0], restrict), 0)
    candidate_pid = fork_candidate() or run_locked(candidate_fds, (confinement, limits[1], restrict), 1)
    return [grader_pid, candidate_pid]


Locks = tuple[Confinement, Sequence[ResourceLimit], Callable[[], int] | None]


def run_locked(fds: tuple[int, ...], locks: Locks, role: int) -> NoReturn:
    """Locks the calling process down and does its work; role 0 grades, role 1 runs the program.

    Its descriptors become 0, 1, 2 ...
    """
    confinement, limits, restrict = locks
    status = 1
    try:
        kernel.DIE_WITH_PARENT()
        os.setsid()  # no terminal and no process group of the harness
        if restrict:
            restrict()
        arrange_descriptors(fds)
        lock_down(confinement, limits, role)
        if role:
            kernel.END_AT_FILE_LIMIT()
            candidate.serve_calls(3, 4, 5)
            status = 0
        else:
            if confinement.filter:
                stand_ins.install_pairs(stand_ins.GRADER_PAIRS)
            status = grader.grade(3, 4, 5, 6)
    except BaseException as error:  # noqa: BLE001  the process must end here, whatever happens
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(status)
