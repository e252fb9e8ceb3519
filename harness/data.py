"""Rows of a data set: from the Hub, or from the same files in a local folder.  Offline is a first-class case."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.types import Example, Json, SkilldeltaError, Task, digest

VARIABLE = "SKILLDELTA_DATA"


@dataclass(frozen=True)
class Source:
    """Where a data set lies: on the Hub, and in a local folder in the layout of its own repository.

    `local` is a path below the data folder (.jsonl, .json, .csv, .txt, each also .gz); `columns` must be in every row.
    """

    hub: str
    local: str
    columns: tuple[str, ...]
    config: str = ""
    split: str = "test"
    revision: str = ""
    file: str = ""  # of the Hub's repository, where `datasets` itself cannot read it


def default_folder() -> Path | None:
    """The folder that SKILLDELTA_DATA names; None: rows come from the Hub."""
    value = os.environ.get(VARIABLE, "")
    return Path(value) if value else None


def rows(source: Source, folder: Path | None) -> list[dict[str, Any]]:
    """The rows of `source`: from `folder` if one is given, else from the Hub through `datasets`."""
    found = read(locate(source.local, folder)) if folder else hub_rows(source)
    return list(checked(found, source.columns, f"{folder / source.local}" if folder else source.hub))


def locate(local: str, folder: Path) -> Path:
    """The file `local` below `folder`, plain or compressed; an error that says where it was looked for."""
    for candidate in (folder / local, folder / f"{local}.gz"):
        if candidate.is_file():
            return candidate
    near = sorted(p.name for p in (folder / local).parent.glob("*"))[:8] if (folder / local).parent.is_dir() else []
    there = f"that folder holds: {', '.join(near)}" if near else f"there is no folder {(folder / local).parent}"
    raise SkilldeltaError(
        f"There is no data file {folder / local} (nor .gz); {there}.\n"
        f"Put the file there, name another folder with --data or {VARIABLE}, or leave both out to read the rows from the Hub."
    )


def read(path: Path) -> list[dict[str, Any]]:
    """All rows of a .jsonl, .json (a list), .csv or .txt file, each also .gz."""
    return parse(text(path), path.name.removesuffix(".gz"))


def text(path: Path) -> str:
    """The text of a file, plain or .gz."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")


def parse(content: str, name: str) -> list[dict[str, Any]]:
    """Rows of a file whose format the ending of `name` tells."""
    try:
        if name.endswith(".jsonl"):
            return [json.loads(line) for line in content.split("\n") if line.strip()]
        if name.endswith(".json"):
            return list(json.loads(content))
        if name.endswith(".txt"):  # one text a line, in the column that `datasets` gives it
            return [{"text": line} for line in content.splitlines() if line.strip()]
        if name.endswith(".csv"):
            return list(csv.DictReader(io.StringIO(content, newline="")))
    except (json.JSONDecodeError, csv.Error) as error:
        raise SkilldeltaError(f"{name} cannot be read: {error}.  Is the file whole?") from error
    raise SkilldeltaError(f"{name} has an unknown format; known are .jsonl, .json, .csv and .txt, each also .gz.")


def zip_members(path: Path, ending: str) -> Iterator[tuple[str, str]]:
    """(name, text) of every file in a zip archive whose name ends with `ending`, in name order."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(ending):
                yield name, archive.read(name).decode("utf-8")


def hub_rows(source: Source) -> Iterable[dict[str, Any]]:
    """The split as `datasets` gives it.  Needs the Hub, or its local cache."""
    import datasets

    try:
        if source.file:
            return read(hub_file(source))
        found = datasets.load_dataset(source.hub, source.config or None, split=source.split, revision=source.revision or None)
    except Exception as error:  # datasets raises many kinds: all mean that the rows cannot be had
        raise SkilldeltaError(
            f"The data set {source.hub!r} cannot be read from the Hub: {type(error).__name__}: {error}\n"
            f"Offline, lay the file {source.local} below a folder and name the folder with --data or {VARIABLE}."
        ) from error
    return (dict(row) for row in found)


def hub_file(source: Source) -> Path:
    """A file of the data set's repository, downloaded once."""
    import huggingface_hub

    revision = source.revision or None
    return Path(huggingface_hub.hf_hub_download(source.hub, source.file, repo_type="dataset", revision=revision))


def checked(found: Iterable[dict[str, Any]], columns: Sequence[str], where: str) -> Iterator[dict[str, Any]]:
    """`found`, as long as every row has `columns`."""
    empty = True
    for number, row in enumerate(found):
        if missing := [c for c in columns if c not in row]:
            raise SkilldeltaError(
                f"Row {number} of {where} has no column {', '.join(map(repr, missing))}; it has: {', '.join(map(str, row))}.\n"
                "Is it the right file, and the right version of the data set?"
            )
        empty = False
        yield row
    if empty:
        raise SkilldeltaError(f"{where} holds no rows.")


@dataclass(frozen=True)
class Selection:
    """Which examples of a task: the first `limit` of each group (or of all), or with a `seed` a random `limit`."""

    limit: int | None = None
    seed: int | None = None
    per_group: bool = True


def examples(task: Task, folder: Path | None, selection: Selection | None = None) -> list[Example]:
    """The examples of a task, in the order of its rows; rows with the same content are numbered."""
    shots = task.fewshot(folder) if task.fewshot else {}
    found = []
    for example in numbered(task.rows(folder)):
        exemplars = shots.get(task.group(example) if task.group else "", shots.get("", ()))
        found.append(Example(example.row, example.copy, tuple(exemplars)))
    return select(found, task.group, selection or Selection())


def numbered(found: Iterable[Json]) -> list[Example]:
    """Rows as examples, with nothing shown before them; each knows how many earlier ones have its content."""
    seen: dict[str, int] = {}
    made = []
    for row in found:
        key = digest(row)
        made.append(Example(row, seen.get(key, 0)))
        seen[key] = made[-1].copy + 1
    return made


def select(found: list[Example], group: Callable[[Example], str] | None, how: Selection) -> list[Example]:
    """The examples that `how` chooses, in their order."""
    if how.limit is None:
        return found
    strata: dict[str, list[int]] = {}
    for i, example in enumerate(found):
        strata.setdefault(group(example) if group and how.per_group else "", []).append(i)
    kept: list[int] = []
    for members in strata.values():
        if how.seed is None or how.limit >= len(members):
            kept += members[: how.limit]
        else:
            kept += random.Random(how.seed).sample(members, how.limit)
    return [found[i] for i in sorted(kept)]


def content_hash(found: Sequence[Example]) -> str:
    """One hash for exactly these examples in this order."""
    return digest([example.id for example in found])
