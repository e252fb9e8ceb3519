"""System calls that Python does not wrap, through ctypes.  A failure is an OSError that names the call."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

from harness.sandbox.inside.calls import MACHINE, NUMBERS

LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
ATTR_READONLY, ATTR_NOSUID, ATTR_NODEV, AT_RECURSIVE, AT_FDCWD = 1, 2, 4, 0x8000, -100
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38


def call(name: str, *arguments: Any) -> int:
    """The system call `name`; integers, bytes (C strings) and ctypes pointers as arguments."""
    if name not in NUMBERS:
        raise OSError(errno.ENOSYS, f"{name}: its number on {MACHINE} is not known")
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(LIBC.syscall(ctypes.c_long(NUMBERS[name]), *values))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {errno.errorcode.get(number, number)} ({os.strerror(number)})")
    return result


def prctl(option: int, value: int) -> None:
    call("prctl", option, value, 0, 0, 0)


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


def drop_capabilities() -> None:
    """All of them: effective, permitted and inheritable."""
    header = CapabilityHeader(0x20080522, 0)
    call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
