"""Namespaces: a file system, process table, network and more of the sandbox's own.

What does not exist needs no rule: a program in these namespaces finds no file of the host but the interpreter's, no other
process, and no network device, not even the loopback.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.sandbox.inside import kernel
from harness.sandbox.inside.interpreter import third_party_folders
from harness.sandbox.inside.kernel import MNT_DETACH, MS_BIND, MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC
from harness.sandbox.inside.libraries import copy_libraries
from harness.sandbox.inside.scratch import ScratchFolder

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
ZONES = "/usr/share/zoneinfo"
# Mounts, network, System V IPC and message queues, host name, processes, cgroup names.
TEMPLATE_NAMESPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWCGROUP
)  # fmt: skip


def leave_host(user: bool) -> None:
    """Leaves the host's namespaces; the next child is number 1 of its own process table.

    `user`: by way of a user namespace, for a user without the rights of root.  OSError where the machine forbids it.
    """
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(TEMPLATE_NAMESPACES | (kernel.CLONE_NEWUSER if user else 0))
    if user:
        for file, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            Path("/proc/self", file).write_text(content)
    kernel.mount("none", "/", "", MS_REC | MS_PRIVATE)  # no mount of ours travels back to the host


def show_path(source: str, root: str) -> None:
    """Makes the host's `source` visible below `root`, under the same name, read-only: of a device, its times and rights are."""
    target = Path(root + source)
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    kernel.mount(source, str(target), "", MS_BIND | MS_REC)
    kernel.make_readonly(str(target), device=source.startswith("/dev/"))


def hide_folder(path: str) -> None:
    """Covers a folder with an empty one."""
    kernel.mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k")


def scratch_folder(visible: list[str]) -> str:
    """Where programs write: /tmp, or a folder in it where the interpreter itself lies below /tmp and must not be covered."""
    return "/tmp/scratch" if any(path.startswith("/tmp/") for path in visible) else "/tmp"  # noqa: S108  the sandbox's own


def build_root(root: str, library: list[str], packages: list[str], shared_libraries: list[str]) -> None:
    """Makes `root` the root folder: the standard library, the allowed packages and five devices; an empty /tmp."""
    os.umask(0o022)
    kernel.mount("none", root, "tmpfs", MS_NOSUID, "mode=755,size=64m")
    for folder in library:
        if not any(folder.startswith(parent + "/") for parent in library):
            show_path(folder, root)
    for folder in third_party_folders(library):
        hide_folder(root + folder)
    for path in [*packages, *DEVICES, *([ZONES] if Path(ZONES).is_dir() else [])]:
        show_path(path, root)
    for name in (scratch_folder([*library, *packages]).lstrip("/"), "old"):
        Path(root, name).mkdir(parents=True, exist_ok=True)
    copy_libraries(shared_libraries, root)
    os.chdir(root)
    kernel.make_call("pivot_root", b".", b"old")
    os.chdir("/")
    # Unmounted, the old root is gone for good; chroot alone could be left again.
    kernel.make_call("umount2", b"/old", MNT_DETACH)
    Path("/old").rmdir()
    kernel.make_readonly("/", below=False)
    kernel.make_call("sethostname", b"sandbox", 7)  # the host's own name may be a secret, and would differ between machines


def prepare_scratch(scratch: ScratchFolder, uid: int | None) -> kernel.SystemCall:
    """The call that mounts a new file system on the folder, with its quota; it ends with the mount namespace."""
    owner = f",uid={uid},gid={uid}" if uid is not None else ""
    options = f"mode=700,size={scratch.megabytes}m,nr_inodes={scratch.files}{owner}"
    return kernel.SystemCall("mount", b"none", scratch.folder.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode())
