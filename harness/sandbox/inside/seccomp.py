"""Which system calls a program may make: a filter in classic BPF, made once and patched with the program's own number.

The tests on the call's number are a balanced tree, because the kernel runs the filter once for every call there is when
it is installed.  What each rule closes: `clone` allows threads only; `own` keeps signals and limits to the program itself;
`fcntl` and `ioctl` allow no signal on input (F_SETOWN, F_SETSIG, FIOSETOWN) and nothing of terminals; `socketpair` allows
connected byte streams only (what an event loop needs).
"""

from __future__ import annotations

import ctypes
import errno
import struct

from harness.sandbox.inside import kernel
from harness.sandbox.inside.calls import AUDIT, MACHINE, NEWEST, table

LOAD, JUMP, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050000, 0x80000000
SECCOMP_SET_MODE_FILTER = 1
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
THREAD_FLAGS, NAMESPACE_FLAGS = 0x00010F00, 0x7E020080  # CLONE_VM|FS|FILES|SIGHAND|THREAD; every CLONE_NEW*
FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032, 36, 37, 38)  # descriptors, flags, locks, pipe size
IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
PRCTL = (15, 16, 0x53564D41)  # a thread's name, set and get; the name of a memory area
Code = list[tuple[int, int, int, int]]  # operation, jump if true, jump if false, operand


def deny(number: int) -> Code:
    return [(RETURN, 0, 0, DENY | number)]


def one_of(argument: int, values: tuple[int, ...], otherwise: int = errno.EPERM) -> Code:
    """Allow where the low word of the argument is one of `values`."""
    tests = [(EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [(LOAD, 0, 0, ARGUMENTS + 8 * argument), *tests, *deny(otherwise), (RETURN, 0, 0, ALLOW)]


OWN = 0x4F574E21  # stands for the program's own number until it is known


def rule(name: str, kind: str) -> Code:
    """The instructions that decide one system call."""
    if kind == "own":
        return one_of(0, (0, OWN) if name != "tgkill" else (OWN,))
    if kind == "fcntl":
        return one_of(1, FCNTL)
    if kind == "ioctl":
        return one_of(1, IOCTL, errno.ENOTTY)
    if kind == "prctl":
        return one_of(0, PRCTL)
    if kind == "socketpair":
        return [
            (LOAD, 0, 0, ARGUMENTS), (EQUAL, 0, 3, 1), (LOAD, 0, 0, ARGUMENTS + 8), (AND, 0, 0, 0xF),
            (EQUAL, 1, 0, 1), *deny(errno.EPERM), (RETURN, 0, 0, ALLOW),
        ]  # fmt: skip
    if kind == "clone":
        return [
            (LOAD, 0, 0, ARGUMENTS), (ANY_BIT, 3, 0, NAMESPACE_FLAGS), (AND, 0, 0, THREAD_FLAGS),
            (EQUAL, 0, 1, THREAD_FLAGS), (RETURN, 0, 0, ALLOW), *deny(errno.EPERM),
        ]  # fmt: skip
    raise ValueError(f"there is no rule {kind!r}")


def decisions(machine: str, own_files: bool) -> dict[int, Code]:
    """What to do for each number that is not simply refused."""
    found: dict[int, Code] = {}
    for name, (number, kind) in table(machine).items():
        if name == "clone3":
            found[number] = deny(errno.ENOSYS)  # the C library then uses clone, whose flags a filter can read
        elif kind == "allow" or (kind == "namespaces" and own_files):
            found[number] = [(RETURN, 0, 0, ALLOW)]
        elif kind not in ("inner", "namespaces"):
            found[number] = rule(name, kind)
    return found


def tree(ranges: list[tuple[int, Code]]) -> Code:
    """Code that finds, by halving, the range which holds the number; a range is (its first number, what to do)."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    left, right = tree(ranges[:middle]), tree(ranges[middle:])
    return [(AT_LEAST, 0, 1, ranges[middle][0]), (JUMP, 0, 0, len(left)), *left, *right]


def program(machine: str, own_files: bool) -> Code:
    """The whole filter; `own_files`: the program sees a file system of its own, so that modes and times may be set."""
    known = decisions(machine, own_files)
    ranges: list[tuple[int, Code]] = []
    refuse, missing = deny(errno.EPERM), deny(errno.ENOSYS)
    for number in range(NEWEST + 1):
        what = known.get(number, refuse)
        if not ranges or ranges[-1][1] != what:
            ranges.append((number, what))
    ranges.append((NEWEST + 1, missing))
    head = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, AUDIT[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    return head + tree(ranges)


class Fprog(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class Filter:
    """A filter in memory, ready to be installed by a process that knows its own number."""

    def __init__(self, own_files: bool) -> None:
        code = program(MACHINE, own_files)
        self.buffer = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *i) for i in code))
        self.places = [8 * n + 4 for n, i in enumerate(code) if i[0] == EQUAL and i[3] == OWN]
        self.fprog = Fprog(len(code), ctypes.addressof(self.buffer))
        self.call = kernel.Call("seccomp", SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(self.fprog))

    def install(self, own: int) -> None:
        """From here on, for this process and for ever.  Needs no_new_privs."""
        for place in self.places:
            struct.pack_into("I", self.buffer, place, own)
        self.call()
