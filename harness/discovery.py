"""Finds the checkpoints below the paths that the user names, through the producers in checkpoints/."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from harness import registry
from harness.types import Checkpoint, SkilldeltaError, unknown_name

HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
MAX_FOLDERS = 1000  # that are searched for a hint, so that the error also comes soon for a home folder


def find_checkpoints(paths: Sequence[str]) -> list[Checkpoint]:
    """Every checkpoint at or below `paths`, in order, each with a name of its own."""
    checkpoints = [c for path in paths for c in find_at(path)]
    unique = list({(c.path, c.base): c for c in checkpoints}.values())
    return name_apart(unique)


def find_at(path: str) -> list[Checkpoint]:
    """The checkpoints of one path: a folder that a producer knows, a folder of such folders, or a Hub name."""
    folder = Path(path)
    if not folder.exists():
        if HUB_NAME.match(path):
            return [Checkpoint(path.split("/")[-1], path, "hub")]
        near = [str(p) for p in sorted(folder.parent.glob("*")) if p.is_dir()] if folder.parent.is_dir() else []
        raise unknown_name("folder", path, near)
    if not folder.is_dir():
        raise SkilldeltaError(f"{path} is a file.  Name the folder of a checkpoint or of a run.")
    checkpoints = find_inside(folder)
    if not checkpoints:
        contents = ", ".join(p.name for p in sorted(folder.iterdir())[:8]) or "nothing"
        raise SkilldeltaError(
            f"There is no checkpoint in {path}; it holds: {contents}.\n"
            f"{name_deeper(folder)}Folders of these programs are recognised: "
            f"{', '.join(p.replace('_', '-') for p in registry.modules('producers'))}."
        )
    return checkpoints


def find_inside(folder: Path) -> list[Checkpoint]:
    """The checkpoints of a folder that is one or a run, or of the folders in it; [] where there is none."""
    return find_by_producer(folder.resolve()) or [
        c for child in list_subfolders(folder.resolve()) for c in find_by_producer(child)
    ]


def find_by_producer(folder: Path) -> list[Checkpoint]:
    """The checkpoints that the first producer which recognises this folder finds in it."""
    producers = [registry.module("producers", name) for name in registry.modules("producers")]
    for producer in sorted(producers, key=lambda p: int(p.ORDER)):
        if checkpoints := list(producer.find(folder)):
            return checkpoints
    return []


def name_deeper(folder: Path) -> str:
    """A sentence that names checkpoints further down, "" where there are none; the search itself goes one level down."""
    folders = [folder.resolve()]
    for parent in islice(folders, MAX_FOLDERS):  # grows while it is read: breadth first
        folders.extend(p for p in list_subfolders(parent) if os.access(p, os.R_OK | os.X_OK))
    deeper = [str(p.relative_to(folders[0])) for p in folders[1:MAX_FOLDERS] if find_by_producer(p)]
    return f"Name one of the folders further down: {', '.join(deeper[:5])}.\n" if deeper else ""


def list_subfolders(folder: Path) -> Iterable[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def name_apart(checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """Names that two checkpoints share get their parent folder's name in front."""
    counts = Counter(c.name for c in checkpoints)
    candidates = [replace(c, name=f"{parent_name(c)}-{c.name}") if counts[c.name] > 1 else c for c in checkpoints]
    again = Counter(c.name for c in candidates)
    if clash := [n for n, k in again.items() if k > 1]:
        places = ", ".join(c.path for c in candidates if c.name == clash[0])
        raise SkilldeltaError(
            f"Several checkpoints would be called {clash[0]!r}: {places}.  Score them one by one with --name."
        )
    return candidates


def parent_name(checkpoint: Checkpoint) -> str:
    """The name of the folder above the run, or above the checkpoint where there is no run."""
    return Path(checkpoint.run or checkpoint.path).parent.name
