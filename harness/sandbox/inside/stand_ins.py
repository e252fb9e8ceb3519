"""What a program finds in place of calls that the kernel counts for all programs alike, and in place of chance.

- Pipes and socket pairs: the kernel numbers each new one from a counter of the whole machine, which any program could push on
  and any other could read.  So a program may make none; it finds a few, made for it before it started.
- `resource.getrusage` tells whether a file of the library was in memory already: here it gives processor times alone.
- `os.urandom`, and generators without a seed: the same numbers in every run, so that two runs store the same bytes.
"""

from __future__ import annotations

import _socket
import errno
import os
import random
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

FIRST_SPARE = {"grader": 7, "candidate": 6}  # the first descriptor of the pairs of each process
SPARE_PAIRS = {"grader": 2, "candidate": 4}
NONBLOCK = 0o4000  # O_NONBLOCK and SOCK_NONBLOCK
LOOP_CALLER = "_make_self_pipe"  # of asyncio: a loop wakes itself up by a socket pair
RANDOM_BYTES = random.Random(0)


def open_spare(process: str) -> list[int]:
    """The descriptors of SPARE_PAIRS pairs of connected byte streams, for a "grader" or a "candidate"."""
    return [end.detach() for _ in range(SPARE_PAIRS[process]) for end in _socket.socketpair()]


def fix_seeds() -> None:
    """From now on in this process, and in those that it forks, generators of `random` without a seed repeat."""
    original = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        original(self, RANDOM_BYTES.getrandbits(64) if a is None else a, version)

    random.Random.seed = seed  # type: ignore[method-assign]
    random.seed = random._inst.seed
    random.__dict__["_urandom"] = RANDOM_BYTES.randbytes  # of SystemRandom, and so of secrets


def install_pairs(pairs: SparePairs) -> None:
    """Puts pairs that were made beforehand into this process: tests too start event loops."""
    os.pipe, os.pipe2, _socket.socketpair = pairs.pipe, pairs.pipe2, pairs.socketpair


def install_stand_ins() -> None:
    """Puts all of them into this process, and so into the candidates that it forks.

    There, and not in each candidate: what a process changes after a fork, the kernel has to copy.
    """
    install_pairs(CANDIDATE_PAIRS)
    os.urandom, os.getrandom = RANDOM_BYTES.randbytes, lambda size, flags=0: RANDOM_BYTES.randbytes(size)
    resource.getrusage = processor_times


def processor_times(who: int) -> resource.struct_rusage:
    """getrusage(2) without what tells of other programs: memory, faults and blocks are 0."""
    clocks = {resource.RUSAGE_SELF: time.process_time, resource.RUSAGE_THREAD: time.thread_time}
    if who not in {*clocks, resource.RUSAGE_CHILDREN}:
        raise ValueError("invalid who parameter")
    return resource.struct_rusage((clocks[who]() if who in clocks else 0.0, 0.0, *[0] * 14))


class SparePairs:
    """Pairs of connected byte streams, to be had once each; those of event loops come back when their loop is closed."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.free = list(zip(descriptors[::2], descriptors[1::2], strict=True))
        self.count = len(self.free)
        self.of_loops: list[LoopPair] = []

    def take(self) -> tuple[int, int]:
        if not self.free:
            raise OSError(errno.EMFILE, f"a program may have {self.count} pipes and socket pairs")
        return self.free.pop(0)

    def pipe(self) -> tuple[int, int]:
        """As os.pipe."""
        return self.take()

    def pipe2(self, flags: int) -> tuple[int, int]:
        """As os.pipe2."""
        ends = self.take()
        for end in ends:
            os.set_blocking(end, not flags & NONBLOCK)
        return ends

    def socketpair(self, family: int = _socket.AF_UNIX, kind: int = _socket.SOCK_STREAM, proto: int = 0) -> tuple[Any, Any]:
        """As _socket.socketpair, for byte streams alone; PermissionError for others."""
        if family != _socket.AF_UNIX or kind & 0xF != _socket.SOCK_STREAM:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        caller = sys._getframe(1).f_back
        one, other = self.lend() if caller and caller.f_code.co_name == LOOP_CALLER else self.take()
        ends = _socket.socket(family, kind, proto, one), _socket.socket(family, kind, proto, other)
        for end in ends:
            end.setblocking(not kind & NONBLOCK)
        return ends

    def lend(self) -> tuple[int, int]:
        """A pair for an event loop: a program may start one for every call."""
        pair = next((p for p in self.of_loops if p.is_free()), None)
        if pair is None:
            pair = LoopPair(self.take())
            self.of_loops.append(pair)
        return pair.open()


class LoopPair:
    """A pair of which an event loop has copies: its ends stay open here, and are empty when they are lent again."""

    def __init__(self, ends: tuple[int, int]) -> None:
        self.ends = ends
        self.copies: list[int] = []

    def is_free(self) -> bool:
        """Have both copies been closed?  Their numbers may be those of other files meanwhile."""
        return not any(number_of_file(end) == number_of_file(copy) for end, copy in zip(self.ends, self.copies, strict=True))

    def open(self) -> tuple[int, int]:
        for end in self.ends:
            os.set_blocking(end, False)
            try:
                while os.read(end, 1 << 16):
                    pass
            except BlockingIOError:
                pass
        self.copies = [os.dup(end) for end in self.ends]
        return self.copies[0], self.copies[1]


def number_of_file(descriptor: int) -> int:
    """The number of the file behind a descriptor; -1 where it is closed."""
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return -1


def pairs_of(process: str) -> SparePairs:
    """The pairs of a "grader" or a "candidate", by the numbers that their descriptors have there."""
    first = FIRST_SPARE[process]
    return SparePairs(range(first, first + 2 * SPARE_PAIRS[process]))


GRADER_PAIRS, CANDIDATE_PAIRS = pairs_of("grader"), pairs_of("candidate")
