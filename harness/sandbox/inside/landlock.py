"""Landlock: which files a process may touch, whatever its user may do.  Linux 5.13 (ABI 1) and later.

It stops reads of the user's files (tests, keys) and writes outside the scratch folder; from ABI 4 on also TCP, from ABI 6 on
also abstract sockets and signals to processes outside.  Where there are namespaces it is the second lock on files.
Rights and structures: include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Sequence

from harness.sandbox.inside import kernel

READ_FILE, READ_DIR, WRITE_FILE, TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
FILE_RIGHTS = 0b111 | TRUNCATE | 1 << 15  # execute, write, read, truncate, ioctl on devices
READ_RIGHTS, DEVICE_RIGHTS = READ_FILE | READ_DIR, READ_FILE | WRITE_FILE
MAKE_SPECIAL = 1 << 6 | 1 << 9 | 1 << 11  # character device, socket, block device
RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}  # by ABI; from 5 on 16 bits
SCOPES = 0b11  # abstract sockets and signals reach no process outside; ABI 6


class RulesetAttributes(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "net", "scoped")]


class PathBeneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def abi_version() -> int:
    """The kernel's Landlock ABI; OSError where there is none."""
    return kernel.make_call("landlock_create_ruleset", 0, 0, 1)


def is_available() -> bool:
    """Does the kernel have it, and does no filter around this process forbid it?"""
    try:
        return abi_version() >= 1
    except OSError:
        return False


def prepare_ruleset() -> tuple[kernel.SystemCall, int]:
    """The call that makes a descriptor of rules, empty ones; the rights on a folder to write in.  OSError without Landlock."""
    abi = abi_version()
    rights = RIGHTS.get(abi, (1 << 16) - 1)
    attributes = RulesetAttributes(rights, 0b11 if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    create = kernel.SystemCall("landlock_create_ruleset", ctypes.byref(attributes), size, 0)
    return create, rights & ~MAKE_SPECIAL & ~1  # no devices or sockets, nothing to execute


def make_ruleset(listing: Sequence[str], reading: Sequence[str], writing: Sequence[str], devices: Sequence[str]) -> int:
    """A descriptor of rules: whoever they `restrict` may touch only these paths, and what is mounted on them.

    `listing`: the names of files below, not their content.  OSError where the kernel has no Landlock.
    """
    create, write_rights = prepare_ruleset()
    ruleset = create()
    grants = ((listing, READ_DIR), (reading, READ_RIGHTS), (writing, write_rights), (devices, DEVICE_RIGHTS))
    for rule in (open_rule(path, rights) for paths, rights in grants for path in paths):
        try:
            kernel.make_call("landlock_add_rule", ruleset, 1, ctypes.byref(rule), 0)
        finally:
            os.close(rule.parent)
    return ruleset


class ProgramRules:
    """Rules for programs that each have a new folder of the same name to write in; `reading`, `devices`: see make_ruleset.

    All calls are prepared once, and the paths that never change stay open.
    """

    def __init__(self, reading: Sequence[str], devices: Sequence[str]) -> None:
        self.create, write_rights = prepare_ruleset()
        self.ruleset, self.folder = ctypes.c_long(-1), PathBeneath(write_rights, -1)
        grants = ((reading, READ_RIGHTS), (devices, DEVICE_RIGHTS))
        rules = [self.folder, *(open_rule(path, rights) for paths, rights in grants for path in paths)]
        self.restrict = kernel.SystemCall("landlock_restrict_self", self.ruleset, 0)
        self.additions = [kernel.SystemCall("landlock_add_rule", self.ruleset, 1, ctypes.byref(rule), 0) for rule in rules]

    def make(self, folder: str) -> int:
        """A descriptor of the rules with the folder that has this name now; `restrict` applies them to the calling process."""
        self.ruleset.value = self.create()
        self.folder.parent = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        for add in self.additions:
            add()
        os.close(self.folder.parent)
        return self.ruleset.value


def restrict(ruleset: int) -> None:
    """From here on the rules hold for this process, and for every process that it starts."""
    kernel.NO_NEW_PRIVILEGES()
    kernel.make_call("landlock_restrict_self", ruleset, 0)


def open_rule(path: str, rights: int) -> PathBeneath:
    """A rule for everything below `path`, or the one file that it is; its `parent` is an open descriptor."""
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    return PathBeneath(rights if stat.S_ISDIR(os.fstat(parent).st_mode) else rights & FILE_RIGHTS, parent)
