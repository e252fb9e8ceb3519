"""The system calls that a program may make: a filter in classic BPF, built once and patched with the program's own number.

The list in calls.py names the allowed calls; all others fail.  So there is no execve, no socket, no ptrace, no mount, no
io_uring (which would make calls that no filter sees), and no rarely tested part of the kernel to attack.  Some calls are
allowed for some arguments:
- `clone`: threads alone, so that a program cannot fork, and no new namespaces, in which it would be root.
- `own`: signals, processor affinity and limits of the program itself, not of the grader or the harness.
- `pretend`, and `fcntl` for locks on files: success, and nothing done.  A lock, or a page dropped from memory, on a file that
  all programs see (the library, /dev/null) would tell something to a program that runs beside this one.  No other process can
  hold a lock on a program's own files, so it misses nothing.
- `clock`, `priority`: not of other processes.  `plain`: no flags, as RWF_NOWAIT tells which pages are in memory.
- `fcntl`, `ioctl`: no signals to other processes on input (F_SETOWN, F_SETSIG, FIOSETOWN), no input into terminals.
- `prctl`: names of threads and memory; not, for example, the flags that the lock-down has set.
- `futex`: of the program's own memory.  On a page of a file that all programs see, one could wake another; a thread's end would
  do, so waiting fails there.
- `missing`: calls with arguments in memory, which a filter cannot read; the C library then makes older ones.  `clone3` has new
  namespaces; `openat2` tells which names of files the machine has looked up.
- `statx`: not the number of a mount that is never used again, which counts the programs.  `sockopt`: no numbers of sockets, and
  none of processes (SO_PASSPIDFD).  They, and what the kernel counts for pipes, socket pairs and pages in memory, count for the
  whole machine (stand_ins.py).
The tests on the call's number are a balanced tree: on installation the kernel runs the filter once for every existing call.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from harness.sandbox.inside import kernel
from harness.sandbox.inside.calls import AUDIT, MACHINE, NEWEST, system_calls

LOAD, JUMP, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050000, 0x80000000
SECCOMP_SET_MODE_FILTER = 1
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
MAX_BRANCH = 255  # instructions over which a test can jump
THREAD_FLAGS, NAMESPACE_FLAGS = 0x00010F00, 0x7E020080  # CLONE_VM|FS|FILES|SIGHAND|THREAD; every CLONE_NEW*
FCNTL = (0, 1, 2, 3, 4, 1030)  # descriptors and flags
RECORD_LOCKS = (6, 7)  # F_SETLK, F_SETLKW
CLOCKS = tuple(range(12))  # the machine's and the program's own; clocks of other processes are negative
IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
FUTEX_PRIVATE, FUTEX_COMMAND, FUTEX_WAKE = 128, 127, 1
STATX_MNT_ID_UNIQUE = 0x4000
SOL_SOCKET = 1
SOCKET_OPTIONS = (2, 3, 4, 7, 8, 9, 13, 20, 21, 30, 38, 39)  # reuse, type, error, buffers, times, listening, protocol, family
PRCTL = (15, 16, 0x53564D41)  # a thread's name, set and get; the name of a memory area
Code = list[tuple[int, int, int, int]]  # operation, jump if true, jump if false, operand


def deny(number: int) -> Code:
    return [(RETURN, 0, 0, DENY | number)]


def allow_only(argument: int, values: tuple[int, ...], otherwise: int = errno.EPERM) -> Code:
    """Allow where the low word of the argument is one of `values`; else fail with the error `otherwise`."""
    tests = [(EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [(LOAD, 0, 0, ARGUMENTS + 8 * argument), *tests, *deny(otherwise), (RETURN, 0, 0, ALLOW)]


OWN_NUMBER = 0x4F574E21  # a placeholder for the program's own number, which is known after the fork


# Kinds of calls whose rule is the same for all of the kind.
COMMON_RULES: dict[str, Code] = {
    "pretend": deny(0),
    "clock": allow_only(0, CLOCKS, errno.EINVAL),
    "priority": allow_only(1, (0,)),
    "plain": allow_only(5, (0,), errno.EOPNOTSUPP),
    "ioctl": allow_only(1, IOCTL, errno.ENOTTY),
    "prctl": allow_only(0, PRCTL),
    "missing": deny(errno.ENOSYS),
    "sockopt": [
        (LOAD, 0, 0, ARGUMENTS + 8), (EQUAL, 1, 0, SOL_SOCKET), *deny(errno.ENOPROTOOPT),
        *allow_only(2, SOCKET_OPTIONS, errno.ENOPROTOOPT),
    ],
    "statx": [
        (LOAD, 0, 0, ARGUMENTS + 24), (ANY_BIT, 0, 1, STATX_MNT_ID_UNIQUE), *deny(errno.EINVAL), (RETURN, 0, 0, ALLOW),
    ],
    "futex": [  # where nobody can wait, waking wakes nobody
        (LOAD, 0, 0, ARGUMENTS + 8), (ANY_BIT, 0, 1, FUTEX_PRIVATE), (RETURN, 0, 0, ALLOW),
        (AND, 0, 0, FUTEX_COMMAND), (EQUAL, 0, 1, FUTEX_WAKE), *deny(0), *deny(errno.EAGAIN),
    ],
    "clone": [
        (LOAD, 0, 0, ARGUMENTS), (ANY_BIT, 3, 0, NAMESPACE_FLAGS), (AND, 0, 0, THREAD_FLAGS),
        (EQUAL, 0, 1, THREAD_FLAGS), (RETURN, 0, 0, ALLOW), *deny(errno.EPERM),
    ],
}  # fmt: skip


def call_rule(name: str, kind: str) -> Code:
    """The instructions that decide one system call."""
    if kind == "own":
        return allow_only(0, (OWN_NUMBER,) if name == "tgkill" else (0, OWN_NUMBER))
    if kind == "kill":  # its group, which 0 names, is the program itself; a parent in another process table is 0 as well
        probe = [(LOAD, 0, 0, ARGUMENTS + 8), (EQUAL, 0, 3, 0), (LOAD, 0, 0, ARGUMENTS), (EQUAL, 0, 1, 0), *deny(errno.EPERM)]
        return [*probe, *allow_only(0, (0, OWN_NUMBER))]
    if kind == "fcntl":
        pretend = [step for value in RECORD_LOCKS for step in ((EQUAL, 0, 1, value), *deny(0))]
        return [(LOAD, 0, 0, ARGUMENTS + 8), *pretend, *allow_only(1, FCNTL)]
    return COMMON_RULES[kind]


def call_decisions(machine: str, own_files: bool) -> dict[int, Code]:
    """The code for each number that does not simply fail."""
    codes: dict[int, Code] = {}
    for name, (number, kind) in system_calls(machine).items():
        if kind == "allow" or (kind == "namespaces" and own_files):
            codes[number] = [(RETURN, 0, 0, ALLOW)]
        elif kind not in ("inner", "namespaces"):
            codes[number] = call_rule(name, kind)
    return codes


class DecisionTree:
    """Code that finds, by halving, the range that holds the number.

    It is written from its end to its beginning, as every jump goes forward: then a branch may go to equal code that is
    there already, if it is near enough.  The kernel translates the filter anew for every process, so its length counts.
    """

    def __init__(self) -> None:
        self.backwards: Code = []
        self.places: dict[tuple[tuple[int, int, int, int], ...], int] = {}  # of code: the length from its first instruction on

    def add(self, ranges: list[tuple[int, Code]]) -> int:
        """Adds the tree of `ranges`, of which each is (its first number, its code); gives the place of its root."""
        if len(ranges) == 1:
            return self.add_code(ranges[0][1])
        middle = len(ranges) // 2
        right, left = self.add(ranges[middle:]), self.add(ranges[:middle])
        right, left = self.bring_near(right), self.bring_near(left)
        here = len(self.backwards)
        self.backwards.append((AT_LEAST, here - right, here - left, ranges[middle][0]))
        return len(self.backwards)

    def add_code(self, code: Code) -> int:
        place = self.places.get(tuple(code), 0)
        if not place or (len(code) == 1 and len(self.backwards) - place > MAX_BRANCH // 2):
            self.backwards += reversed(code)
            place = self.places[tuple(code)] = len(self.backwards)
        return place

    def bring_near(self, place: int) -> int:
        """The place itself, or that of a jump to it where a branch does not reach so far."""
        if len(self.backwards) - place > MAX_BRANCH - 2:  # before it there may be one more jump
            self.backwards.append((JUMP, 0, 0, len(self.backwards) - place))
            return len(self.backwards)
        return place


def build_filter(machine: str, own_files: bool) -> Code:
    """The whole filter.  `own_files`: the program has a file system of its own, so it may change modes and times of files."""
    codes = call_decisions(machine, own_files)
    ranges: list[tuple[int, Code]] = []
    refuse, missing = deny(errno.EPERM), deny(errno.ENOSYS)
    for number in range(NEWEST + 1):
        code = codes.get(number, refuse)
        if not ranges or ranges[-1][1] != code:
            ranges.append((number, code))
    ranges.append((NEWEST + 1, missing))
    # Another architecture (32-bit calls on x86-64) has other numbers: it ends the program.
    head = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, AUDIT[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    tree = DecisionTree()
    tree.add(ranges)
    return head + tree.backwards[::-1]


class FilterProgram(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class SeccompFilter:
    """A filter in memory, ready for a process that knows its own number."""

    def __init__(self, own_files: bool) -> None:
        code = build_filter(MACHINE, own_files)
        self.buffer = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *i) for i in code))
        self.places = [8 * n + 4 for n, i in enumerate(code) if i[0] == EQUAL and i[3] == OWN_NUMBER]
        self.fprog = FilterProgram(len(code), ctypes.addressof(self.buffer))
        self.call = kernel.SystemCall("seccomp", SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(self.fprog))

    def install(self, own: int) -> None:
        """Installs it for this process, irrevocably.  `own` is the process's number; needs no_new_privs."""
        for place in self.places:
            struct.pack_into("I", self.buffer, place, own)
        self.call()
