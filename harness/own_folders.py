"""A folder that is one process's own, and under one name alone."""

from __future__ import annotations

from pathlib import Path

from harness.file_locks import FolderLock
from harness.types import SkilldeltaError
from harness.visible_text import printable


def make_locked(folder: Path) -> FolderLock:
    """The lock of a folder, which is made where it is not there.

    SkilldeltaError where the file system takes its name, or that of the folder above, for another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for place in (folder.parent, folder):
        if name := other_spelling(place):
            raise SkilldeltaError(
                f"{printable(str(place))} and {printable(name)} are one folder here: the file system takes capital letters for "
                "small ones: what is in one would be mixed with the other.  Give one another --name, or name another -o."
            )
    return FolderLock(folder)


def other_spelling(place: Path) -> str:
    """The name, of capital letters for small ones, under which the folder above lists this one; "" where there is none."""
    beside = [p for p in place.parent.iterdir() if p.name != place.name and p.name.lower() == place.name.lower()]
    return next((path.name for path in beside if path.exists() and place.samefile(path)), "")
