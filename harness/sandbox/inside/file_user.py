"""As whom programs open files: as root, this sandbox gives them users of their own, who may not enter every folder.

A Python below a closed /root (uv and pyenv install one there) is closed to them.  Linux has a user for files alone, next to the
user whom signals and limits regard: programs then open files as the owner of the closed folder, without any capability of
root's.  Landlock confines them to the same paths as ever, and seccomp lets them change no mode, owner or time of a file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.sandbox.inside import kernel
from harness.sandbox.inside.lockdown import take_user


def choose_file_user(folders: Sequence[str], uid: int) -> int | None:
    """None where the user `uid`, as whom programs run, may enter all `folders`; else the user who may, as whom they open files.

    PermissionError where there is no such user.
    """
    passages = list(dict.fromkeys(str(parent) for path in folders for parent in [*Path(path).parents[::-1], Path(path)]))
    obstacle = first_closed(passages, uid, None)
    if obstacle is None:
        return None
    owner = Path(obstacle).stat().st_uid
    if first_closed(passages, uid, owner) is None:
        return owner
    raise PermissionError(
        f"programs run as users of their own, who may not enter {obstacle}, where Python's library or a package is; nor may "
        f"its owner enter every folder on the way.  Use a Python outside of that folder, or let others pass through it: chmod "
        f"o+x {obstacle}"
    )


def first_closed(folders: Sequence[str], uid: int, file_uid: int | None) -> str | None:
    """The first folder that a program may not enter as these users, by trial in a child process; None for none."""
    reading, writing = os.pipe()
    pid = kernel.fork()
    if pid == 0:
        try:
            take_user(uid, file_uid)
            kernel.DROP_CAPABILITIES()
            obstacle = next((folder for folder in folders if not may_enter(folder)), "")
            os.write(writing, b"+" + os.fsencode(obstacle))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    if not answer:
        raise PermissionError("a process of the sandbox cannot become the user of a program")
    return os.fsdecode(answer[1:]) or None


def may_enter(folder: str) -> bool:
    try:
        os.stat(f"{folder}/.")  # noqa: PTH116  the dot counts: a folder's own name is read in its parent
    except PermissionError:
        return False
    return True
