"""The names in a folder, within bounds, and listed once for a whole search: a run may leave a million files in one folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

MAX_ENTRIES = 50_000  # files, and folders, of one folder that are looked at; a model and its run have some hundreds
MADE_UP = (Path("/proc"), Path("/sys"))  # the system's account of itself, from which links lead to every folder there is


@dataclass(frozen=True)
class FolderEntries:
    """`files` and `folders`: their names in order, those behind links among them.  `is_cut_short`: there are more."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    is_cut_short: bool = False
    matches: dict[re.Pattern[str], tuple[str, ...]] = field(default_factory=dict, repr=False)

    def match(self, pattern: re.Pattern[str]) -> tuple[str, ...]:
        """The names, of files and then of folders, in which the pattern is found; looked for once."""
        if pattern not in self.matches:
            self.matches[pattern] = tuple(name for name in (*self.files, *self.folders) if pattern.search(name))
        return self.matches[pattern]


Listings = dict[str, FolderEntries]
LISTINGS: ContextVar[Listings | None] = ContextVar("LISTINGS", default=None)


@contextmanager
def list_once() -> Iterator[Mapping[str, FolderEntries]]:
    """Within this context each folder is listed once, and what comes into it later is not seen.  Gives what was listed."""
    listings = LISTINGS.get()
    if listings is not None:
        yield listings
        return
    token = LISTINGS.set(listings := {})
    try:
        yield listings
    finally:
        LISTINGS.reset(token)


def list_entries(folder: Path) -> FolderEntries:
    """The names in a folder, at most MAX_ENTRIES of each kind.  OSError where it cannot be listed."""
    listings = LISTINGS.get()
    if listings is None:
        return read_entries(folder)
    place = str(folder)
    if place not in listings:
        listings[place] = read_entries(folder)
    return listings[place]


def read_entries(folder: Path) -> FolderEntries:
    files, folders, is_cut_short = list[str](), list[str](), False
    with os.scandir(folder) as entries:
        for entry in entries:
            names = folders if leads_to_folder(entry) else files
            if len(names) < MAX_ENTRIES:
                names.append(entry.name)
            else:
                is_cut_short = True
    return FolderEntries(tuple(sorted(files)), tuple(sorted(folders)), is_cut_short)


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; one that nobody may follow is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_made_up(folder: Path) -> bool:
    """Whether a folder, without links in its name, is made up by the system: nobody can have put a model there."""
    return any(place in (folder, *folder.parents) for place in MADE_UP)


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\A(?:{translate(pattern)})")


def find_entries(folder: Path, pattern: str) -> list[Path]:
    """What lies in a folder under names like `pattern` (*.gguf), files first; [] where there is no such folder."""
    try:
        return [folder / name for name in list_entries(folder).match(compile_glob(pattern))]
    except OSError:
        return []
