"""Training on a disk of its own with little room: python -m tests.support.small_disk FOLDER MODEL DATA ROOM ...

FOLDER becomes a file system of SIZE bytes, for this process alone; for each ROOM (bytes that are free), a line of JSON tells
how training ends, what it leaves, and how the same training ends when there is room.  Exit code 77: no file system may be made.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from harness.sandbox.inside import kernel
from harness.sandbox.inside.kernel import MNT_DETACH, MS_PRIVATE, MS_REC
from harness.system_errors import explain_system_error
from harness.types import SkilldeltaError

SIZE = 4_000_000
NOT_ALLOWED = 77


def leave_mounts() -> None:
    """A mount namespace of this process's own; OSError where the machine forbids it."""
    user, group, is_root = os.getuid(), os.getgid(), os.geteuid() == 0
    kernel.unshare(kernel.CLONE_NEWNS | (0 if is_root else kernel.CLONE_NEWUSER))
    if not is_root:
        for file, content in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path("/proc/self", file).write_text(content)
    kernel.mount("none", "/", "", MS_REC | MS_PRIVATE)


def train(model: str, data: str, run: Path) -> str:
    """How it ends: "" for well, else why."""
    from harness.trainers import sft

    config = sft.SFTConfig(model=model, data=(data,), out=str(run), lr=3e-3, batch=4, max_steps=2, save_steps=1)
    try:
        sft.train(config)
    except SkilldeltaError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  what it is, the test tells
        return explain_system_error(error) or f"{type(error).__name__}: {error}"
    return ""


def try_training(folder: Path, model: str, data: str, room: int) -> dict[str, Any]:
    kernel.mount("none", str(folder), "tmpfs", 0, f"size={SIZE}")
    filler = folder / "filler"
    filler.write_bytes(bytes(SIZE - room))
    reason = train(model, data, folder / "run")
    files = sorted(path.relative_to(folder / "run").as_posix() for path in (folder / "run").rglob("*") if path.is_file())
    filler.unlink()
    after = train(model, data, folder / "run")
    weights = {p.parent.name: p.read_bytes().hex() for p in (folder / "run").glob("*/model.safetensors")}
    kernel.make_call("umount2", str(folder).encode(), MNT_DETACH)
    return {"room": room, "reason": reason, "files": files, "after": after, "weights": weights}


def main(folder: str, model: str, data: str, *rooms: str) -> int:
    try:
        leave_mounts()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_ALLOWED
    for room in map(int, rooms):
        sys.stdout.write(json.dumps(try_training(Path(folder), model, data, room)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
