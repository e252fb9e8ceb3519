"""System calls that Python does not wrap, through ctypes.  A failure is an OSError that names the call.

The last lines prepare the calls of a lock-down once, before the forks: each run then makes them without building anything.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import threading
from typing import Any

from harness.sandbox.inside.calls import MACHINE, NUMBERS

LIBC = ctypes.CDLL(None, use_errno=True)
# PyDLL, unlike CDLL, keeps the interpreter's lock during the call, so the child's only thread has it.
FORK = ctypes.PyDLL(None, use_errno=True).fork
CLONE = ctypes.PyDLL(None, use_errno=True).syscall

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_PARENT, CLONE_CHILD_SETTID = 0x8000, 0x1000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
ATTR_READONLY, ATTR_NOSUID, ATTR_NODEV, AT_RECURSIVE, AT_FDCWD = 1, 2, 4, 0x8000, -100
MNT_DETACH = 2
ADDR_NO_RANDOMIZE = 0x0040000
SIGCHLD = 17
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS = 1, 4, 8, 38


class SystemCall:
    """The system call `name`, ready to be made.

    Its arguments are in memory before a fork, so that the child writes to few pages, which the kernel would have to copy.
    """

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


def make_call(name: str, *arguments: Any) -> int:
    """Makes a system call; OSError that names it if it fails."""
    return SystemCall(name, *arguments)()


def prepare_prctl(option: int, value: int) -> SystemCall:
    return SystemCall("prctl", option, value, 0, 0, 0)


def fork() -> int:
    """fork(2) of the C library, without Python's own work after it in a child.

    That work takes 0.5 ms of page faults.  It repairs locks and threads, which a process of one thread does not have, and it
    seeds random numbers, which the candidate seeds again for each program.
    """
    pid = int(FORK())
    if pid < 0:
        raise OSError(ctypes.get_errno(), "fork")
    return pid


class Clone:
    """fork(2) with the kernel's `flags`, ready to be made; it brings the C library's record of the child's number up to date.

    `thread_number`: its address, see `thread_number_address`.
    """

    def __init__(self, flags: int, thread_number: int) -> None:
        flags |= SIGCHLD | (CLONE_CHILD_SETTID if thread_number else 0)
        # The last two arguments change places between x86-64 and aarch64; one of them is not used.
        self.values = [ctypes.c_long(a) for a in (NUMBERS["clone"], flags, 0, 0, thread_number, thread_number)]

    def __call__(self) -> int:
        pid = int(CLONE(*self.values))
        if pid < 0:
            raise OSError(ctypes.get_errno(), "clone")
        return pid


class CloneArguments(ctypes.Structure):
    """struct clone_args of clone3(2)."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack")]
    _fields_ += [(name, ctypes.c_uint64) for name in ("stack_size", "tls", "set_tid", "set_tid_size", "cgroup")]


class NumberedClone:
    """fork(2) of a sibling with numbers of one's choice: clone3 with CLONE_PARENT, ready to be made.

    `numbers`: in the process table of the new process, then in that of its parent.  `thread_number`: as in `Clone`.
    """

    def __init__(self, numbers: tuple[int, int], thread_number: int) -> None:
        self.numbers = (ctypes.c_int32 * 2)(*numbers)
        flags = CLONE_PARENT | (CLONE_CHILD_SETTID if thread_number else 0)
        places = {"set_tid": ctypes.addressof(self.numbers), "set_tid_size": len(numbers)}
        self.arguments = CloneArguments(flags=flags, child_tid=thread_number, **places)
        size = ctypes.c_long(ctypes.sizeof(self.arguments))
        self.values = [ctypes.c_long(NUMBERS["clone3"]), ctypes.byref(self.arguments), size]

    def __call__(self) -> int:
        pid = int(CLONE(*self.values))
        if pid < 0:
            raise OSError(ctypes.get_errno(), "clone3")
        return pid


def fix_addresses() -> bool:
    """From this process's next program on, memory lies where it always lies.  False where it did already, or cannot.

    Chance in addresses would be chance in what programs return: in the order of a set of objects, or in `id`.  It protects
    nothing here, as a candidate is a copy of the process of which the grader is a copy too.
    """
    now = LIBC.personality(ctypes.c_ulong(0xFFFFFFFF))
    return now >= 0 and not now & ADDR_NO_RANDOMIZE and LIBC.personality(ctypes.c_ulong(now | ADDR_NO_RANDOMIZE)) >= 0


def thread_number_places() -> frozenset[int]:
    """Where, in the C library's record of this thread, its number may stand: 4-byte places from the record's beginning."""
    if platform.libc_ver()[0] != "glibc":
        return frozenset()
    number = threading.get_native_id()
    return frozenset(i for i, value in enumerate(thread_record()) if value == number)


def thread_record() -> ctypes.Array[ctypes.c_int32]:
    LIBC.pthread_self.restype = ctypes.c_void_p
    return (ctypes.c_int32 * 256).from_address(LIBC.pthread_self())


def thread_number_address(places: frozenset[int]) -> int:
    """The address of the thread's number in the C library's record, which raise(3) and abort(3) use; 0 if it is not found.

    `places` are those of the parent process, which had another number: the one that is right in both is the place.
    """
    common = places & thread_number_places()
    return ctypes.addressof(thread_record()) + 4 * min(common) if len(common) == 1 else 0


def unshare(flags: int) -> None:
    try:
        make_call("unshare", flags)
    except OSError as error:
        raise OSError(error.errno, f"unshare({flags:#x}): {errno.errorcode.get(error.errno or 0)}") from error


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    try:
        make_call("mount", source.encode(), target.encode(), kind.encode(), flags, data.encode())
    except OSError as error:
        raise OSError(error.errno, f"mount({kind or source} on {target}): {errno.errorcode.get(error.errno or 0)}") from error


class MountAttributes(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def make_readonly(path: str, below: bool = True, device: bool = False) -> None:
    """The mount at `path`, and all `below` it: no writing, no devices but where it is one, no set-user-id."""
    attributes = MountAttributes(ATTR_READONLY | ATTR_NOSUID | (0 if device else ATTR_NODEV), 0, 0, 0)
    make_call(
        "mount_setattr",
        AT_FDCWD,
        path.encode(),
        AT_RECURSIVE if below else 0,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )


class CapabilityHeader(ctypes.Structure):
    """struct __user_cap_header_struct of capset(2)."""

    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


CAPABILITY_HEADER = CapabilityHeader(0x20080522, 0)
NO_CAPABILITIES = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice 32 bits
CAP_SETUID = (ctypes.c_uint32 * 6)(1 << 7, 1 << 7)
DEFAULT_ACTION = (ctypes.c_uint64 * 4)()  # struct sigaction of the kernel: SIG_DFL, no flags, no mask
DIE_WITH_PARENT = prepare_prctl(PR_SET_PDEATHSIG, 9)  # no program outlives its slot, however the slot ends
NO_NEW_PRIVILEGES = prepare_prctl(PR_SET_NO_NEW_PRIVS, 1)  # no rights from set-user-id files; seccomp and Landlock demand it
NO_DUMP = prepare_prctl(PR_SET_DUMPABLE, 0)  # no process of the same user may trace it or read its memory through /proc
DROP_CAPABILITIES = SystemCall("capset", ctypes.byref(CAPABILITY_HEADER), ctypes.byref(NO_CAPABILITIES))
KEEP_CAPABILITIES = prepare_prctl(PR_SET_KEEPCAPS, 1)  # when the user changes
KEEP_CAP_SETUID = SystemCall("capset", ctypes.byref(CAPABILITY_HEADER), ctypes.byref(CAP_SETUID))
OWN_USER = SystemCall("unshare", CLONE_NEWUSER)  # for a user without any rights outside, and a process count of its own
# A file that grows beyond its limit ends the process; Python ignores the signal.
END_AT_FILE_LIMIT = SystemCall("rt_sigaction", signal.SIGXFSZ, ctypes.byref(DEFAULT_ACTION), 0, 8)
