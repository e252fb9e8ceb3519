"""Finds a task in lm-eval's folder of task files without building lm-eval's index of all 14,000 of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.bounded_files import read_bytes
from harness.types import SkilldeltaError
from harness.yaml_files import MAX_BYTES

OTHER_FILES = {".py", ".pyc", ".md", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".jpg", ".png"}  # they name no task
NAME = re.compile(rb"^[\"']?(?:task|group|tag)[\"']?: *[\"']?([^\s\"'#\[\]][^\r\n\"'#]*?)[\"']? *\r?$", re.MULTILINE)


def read_task_files(root: Path) -> Iterator[tuple[Path, Path, bytes]]:
    """Every file below `root` that may name a task: its folder directly below `root`, its path, its content.

    One that is larger than any YAML file that is read names none.
    """
    for file in sorted(root.rglob("*")):
        if file.suffix not in OTHER_FILES and file.is_file() and file.stat().st_size <= MAX_BYTES:
            yield root / file.relative_to(root).parts[0], file, read_bytes(file, MAX_BYTES)


def mentioning_folders(root: Path, names: Iterable[str]) -> set[Path]:
    """The folders of the task files in which one of `names` stands as a word."""
    word = re.compile(rb"(?<![\w-])(?:%b)(?![\w-])" % b"|".join(re.escape(n.encode()) for n in sorted(names)))
    return {folder for folder, _, content in read_task_files(root) if word.search(content)}


def find_folder(root: Path, name: str, version: str) -> Path | None:
    """The folder whose file names `name` as a task or a group, or the only one that mentions it.

    None where several mention it (a tag in templates): only the whole index can resolve it.  SkilldeltaError, with the
    nearest names, where none does.
    """
    all_names: set[str] = set()
    for folder, file, content in read_task_files(root):
        names = {n.decode() for n in NAME.findall(content)}
        if name in names and file.suffix == ".yaml":
            return folder
        all_names |= names
    if folders := mentioning_folders(root, [name]):
        return folders.pop() if len(folders) == 1 else None
    near = difflib.get_close_matches(name, all_names, n=5, cutoff=0.6)
    hint = f"  Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise SkilldeltaError(
        f"lm-eval {version} has no task, group or tag {name!r}.{hint}\n"
        f"It has {len(all_names)}: `lm-eval ls tasks` lists them; --include-path names a folder with tasks of your own."
    )


def resolve_names(manager: Any, name: str) -> set[str]:
    """`name`, and every member of the groups and tags below it, at any depth."""
    names: set[str] = set()
    queue = [name]
    while queue:
        current = queue.pop()
        if current not in names:
            names.add(current)
            entry = manager.task_index.get(current)
            queue += member_names((entry.cfg or {}).get("task")) if entry else ()
            queue += entry.tags if entry and entry.kind.name == "TAG" else ()
    return names


def member_names(members: Any) -> Iterator[str]:
    """The members of a group: as text, with settings of their own, or in groups within the group."""
    for member in members if isinstance(members, list) else []:
        inner = member.get("task") if isinstance(member, dict) else member
        yield from [inner] if isinstance(inner, str) else member_names(inner)
