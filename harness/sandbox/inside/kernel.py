"""System calls that Python does not wrap, through ctypes.  A failure is an OSError that names the call."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

from harness.sandbox.inside.calls import MACHINE, NUMBERS

LIBC = ctypes.CDLL(None, use_errno=True)
FORK = ctypes.PyDLL(None, use_errno=True).fork  # the interpreter's lock is held, by the only thread there is

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
ATTR_READONLY, ATTR_NOSUID, ATTR_NODEV, AT_RECURSIVE, AT_FDCWD = 1, 2, 4, 0x8000, -100
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38


class Call:
    """The system call `name`, ready to be made: what it needs is in memory before a fork, so that a child copies few pages."""

    def __init__(self, name: str, *arguments: Any) -> None:
        """Integers, bytes (C strings) and ctypes pointers as arguments."""
        self.name = name
        self.values = [ctypes.c_long(a) if isinstance(a, int) else a for a in (NUMBERS.get(name, -1), *arguments)]

    def __call__(self) -> int:
        result = int(LIBC.syscall(*self.values))
        if result == -1:
            raise self.error(ctypes.get_errno())
        return result

    def error(self, number: int) -> OSError:
        if self.name not in NUMBERS:
            return OSError(errno.ENOSYS, f"{self.name}: its number on {MACHINE} is not known")
        return OSError(number, f"{self.name}: {errno.errorcode.get(number, number)} ({os.strerror(number)})")


def call(name: str, *arguments: Any) -> int:
    """Makes a system call; OSError that names it if it fails."""
    return Call(name, *arguments)()


def prctl(option: int, value: int) -> Call:
    return Call("prctl", option, value, 0, 0, 0)


def fork() -> int:
    """fork(2) as the C library has it, without what Python does after it in a child: 0.5 ms of page faults, to set right locks
    and threads that a process of one thread does not have, and random numbers that are seeded anew for each program."""
    pid = int(FORK())
    if pid < 0:
        raise OSError(ctypes.get_errno(), "fork")
    return pid


def unshare(flags: int) -> None:
    try:
        call("unshare", flags)
    except OSError as error:
        raise OSError(error.errno, f"unshare({flags:#x}): {errno.errorcode.get(error.errno or 0)}") from error


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    try:
        call("mount", source.encode(), target.encode(), kind.encode(), flags, data.encode())
    except OSError as error:
        raise OSError(error.errno, f"mount({kind or source} on {target}): {errno.errorcode.get(error.errno or 0)}") from error


class MountAttributes(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def make_readonly(path: str, below: bool = True) -> None:
    """The mount at `path`, and all `below` it: no writing, no devices, no set-user-id."""
    what = MountAttributes(ATTR_READONLY | ATTR_NOSUID | ATTR_NODEV, 0, 0, 0)
    call("mount_setattr", AT_FDCWD, path.encode(), AT_RECURSIVE if below else 0, ctypes.byref(what), ctypes.sizeof(what))


class CapabilityHeader(ctypes.Structure):
    """struct __user_cap_header_struct of capset(2)."""

    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


CAPABILITIES = CapabilityHeader(0x20080522, 0)
NONE = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice 32 bits
DIE_WITH_PARENT = prctl(PR_SET_PDEATHSIG, 9)
NO_NEW_PRIVILEGES = prctl(PR_SET_NO_NEW_PRIVS, 1)
NO_DUMP = prctl(PR_SET_DUMPABLE, 0)
DROP_CAPABILITIES = Call("capset", ctypes.byref(CAPABILITIES), ctypes.byref(NONE))
OWN_USER = Call("unshare", CLONE_NEWUSER)
