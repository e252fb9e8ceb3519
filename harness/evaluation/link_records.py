"""What a watch keeps of a checkpoint that it has linked, for the process that goes on with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from harness.atomic_files import write_json
from harness.bounded_files import read_stored_json
from harness.folder_entries import list_entries
from harness.records import build_plain
from harness.types import Checkpoint, SkilldeltaError
from harness.visible_text import printable

RECORD = "held.json"  # next to the links of a checkpoint, written when all of them are there


def write_links(checkpoint: Checkpoint, links: Path, stamp: str) -> None:
    """Says of which checkpoint, with files of which stamp, a folder holds the links."""
    write_json(links.parent / RECORD, {"checkpoint": asdict(checkpoint), "folder": links.name, "stamp": stamp})


def read_links(folder: Path) -> tuple[Checkpoint, Path, str]:
    """A checkpoint that was linked, the folder of its links, its files' stamp.  SkilldeltaError where the record is damaged."""
    content = read_stored_json(folder / RECORD)
    try:
        checkpoint, name = build_plain(Checkpoint, content["checkpoint"]), str(content["folder"])
        if name not in list_entries(folder).folders:
            raise ValueError(f"there is no folder {name[:80]!r}")
        return checkpoint, folder / name, str(content["stamp"])
    except (SkilldeltaError, LookupError, TypeError, ValueError) as error:
        raise SkilldeltaError(
            f"{folder / RECORD} is damaged ({printable(str(error))}).  Remove {folder}: what is still there is linked anew."
        ) from error
