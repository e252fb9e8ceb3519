"""The file that makes a folder a results folder, and what takes it back where nothing came of it."""

from __future__ import annotations

from pathlib import Path

from harness.atomic_files import sole_writer, write_json
from harness.file_locks import LOCK_FILE
from harness.types import SkilldeltaError

MARKER = "skilldelta.json"
FORMAT = 2  # 2: other keys than 1 in all files; both are read, and a folder becomes 2 when something is written to it
new_folders: list[tuple[Path, bool]] = []  # that this process has made since forget_new(), and whether the folder was there


def mark_folder(path: Path) -> None:
    """Makes a results folder of a new or empty one; of two processes that do so at once, one finds it made."""
    was_there = path.is_dir()
    with sole_writer(path / MARKER):
        if {file.name for file in path.iterdir()} - {MARKER, LOCK_FILE}:
            raise SkilldeltaError(f"{path} holds other things, and no {MARKER}: name a new or empty folder for results.")
        write_json(path / MARKER, {"format": FORMAT})
    new_folders.append((path.absolute(), was_there))


def forget_new() -> None:
    """Before a command: what was made until now is not its own."""
    new_folders.clear()


def remove_unused() -> None:
    """Takes the results folders back that this process has made and that hold nothing but the marker: a command failed."""
    while new_folders:
        path, was_there = new_folders.pop()
        try:
            with sole_writer(path / MARKER):
                if {file.name for file in path.iterdir()} - {MARKER, LOCK_FILE}:
                    continue
                for file in path.iterdir():
                    file.unlink()
            if not was_there:
                path.rmdir()
        except OSError:  # somebody else has removed it, or writes to it now: then it is theirs
            continue
