"""A folder that is one process's own, and under one name alone."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from harness.file_locks import FolderLock
from harness.types import SkilldeltaError
from harness.visible_text import printable


def make_locked(folder: Path) -> FolderLock:
    """The lock of a folder, which is made where it is not there.  Raises what refuse_other_spelling() does."""
    folder.mkdir(parents=True, exist_ok=True)
    refuse_other_spelling(folder)
    return FolderLock(folder)


def refuse_other_spelling(folder: Path) -> None:
    """SkilldeltaError where the file system takes the name of a folder, or of the one above it, for another one."""
    for place in (folder.parent, folder):
        if name := other_spelling(place):
            raise SkilldeltaError(
                f"{printable(str(place))} and {printable(name)} are one folder here: the file system takes capital letters for "
                "small ones, or one spelling of an accent for another: what is in one would be mixed with the other.  Give one "
                "another --name, or name another -o."
            )


def other_spelling(place: Path) -> str:
    """The name, of other letters of the same meaning, under which the folder above lists this one; "" where there is none."""
    meaning = fold_name(place.name)
    try:
        siblings = list(place.parent.iterdir())
    except PermissionError:
        return ""  # nobody may see what is beside it
    beside = [p for p in siblings if p.name != place.name and fold_name(p.name) == meaning]
    return next((path.name for path in beside if path.exists() and place.samefile(path)), "")


def fold_name(name: str) -> str:
    """What names have in common that a file system may take for one: it ignores case, or how an accent is encoded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
