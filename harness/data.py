"""Rows of a data set: from the Hub, or from the same files in a local folder.  Offline is a first-class case."""

from __future__ import annotations

import csv
import json
import os
import random
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.bounded_files import UnreadableFileError, is_lfs_pointer, read_bytes
from harness.grouping import group_by
from harness.json_texts import decode_json
from harness.row_bounds import parse_csv, unpack_gzip
from harness.task_faults import identify_row, task_errors
from harness.types import Example, Json, SkilldeltaError, Task, digest

VARIABLE = "SKILLDELTA_DATA"
MAX_BYTES = 1 << 31  # of a file of rows, once it is unpacked
Row = TypeVar("Row", bound=Json)


@dataclass(frozen=True)
class DataSource:
    """Where a data set lies: on the Hub, and in a local folder in the layout of its own repository.

    `local` is a path below the data folder (.jsonl, .json, .csv, .txt, each also .gz); `columns` must be in every row.
    `local` is "" where rows come from the Hub alone.
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


def rows(source: DataSource, folder: Path | None) -> list[dict[str, Any]]:
    """The rows of `source`: from `folder` if one is given, else from the Hub through `datasets`."""
    records = read(locate(source.local, folder)) if folder else hub_rows(source)
    return list(check_columns(records, source.columns, f"{folder / source.local}" if folder else source.hub))


def locate(local: str, folder: Path) -> Path:
    """The file `local` below `folder`, plain or .gz.  SkilldeltaError, with what lies there, where there is none."""
    for candidate in (folder / local, folder / f"{local}.gz"):
        if candidate.is_file():
            return candidate
    names = sorted(p.name for p in (folder / local).parent.glob("*"))[:8] if (folder / local).parent.is_dir() else []
    contents = f"that folder holds: {', '.join(names)}" if names else f"there is no folder {(folder / local).parent}"
    raise SkilldeltaError(
        f"There is no data file {folder / local} (nor .gz); {contents}.\n"
        f"Put the file there, name another folder with --data or {VARIABLE}, or leave both out to read the rows from the Hub."
    )


def read(path: Path) -> list[dict[str, Any]]:
    """All rows of a .jsonl, .json (a list, or objects line by line), .csv or .txt file, each also .gz."""
    return parse_rows(read_text(path), path.name.removesuffix(".gz"))


def refuse_lfs_pointer(path: Path) -> None:
    """Raises SkilldeltaError for a file of Git LFS that stands for data which was not fetched."""
    try:
        is_pointer = is_lfs_pointer(path)
    except (OSError, UnreadableFileError):
        return  # whoever reads it says why it cannot be read
    if is_pointer:
        raise SkilldeltaError(
            f"{path} is a Git LFS pointer, not the data: fetch it with `git lfs pull` in its repository (after "
            "`git lfs install`)."
        )


def read_text(path: Path) -> str:
    """The text of a file, plain or .gz.  SkilldeltaError for a Git LFS pointer."""
    refuse_lfs_pointer(path)
    try:
        content = read_bytes(path, MAX_BYTES)
        if path.suffix == ".gz":
            content = unpack_gzip(content, MAX_BYTES)
        return content.decode("utf-8-sig")
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise SkilldeltaError(f"{path} cannot be read: {error}.") from error


def parse_rows(content: str, name: str) -> list[dict[str, Any]]:
    """Rows of a file, in the format that the ending of `name` stands for.  SkilldeltaError for what is no table of rows."""
    try:
        if name.endswith(".json") and not (content.startswith("{") and "\n{" in content):  # objects line by line
            values = decode_json(content, allows_nan=True)
        elif name.endswith((".json", ".jsonl")):
            values = [decode_json(line, allows_nan=True) for line in content.split("\n") if line.strip()]
        elif name.endswith(".txt"):  # one text a line, in the column that `datasets` gives it
            values = [{"text": line} for line in content.splitlines() if line.strip()]
        elif name.endswith(".csv"):
            values = parse_csv(content, name)
        else:
            raise SkilldeltaError(f"{name} has an unknown format; known are .jsonl, .json, .csv and .txt, each also .gz.")
    except (ValueError, csv.Error) as error:
        raise SkilldeltaError(f"{name} cannot be read: {error}.  Is the file complete?") from error
    if not isinstance(values, list):
        raise SkilldeltaError(f"{name} holds {json.dumps(values)[:60]}, not a list of rows.")
    for number, row in enumerate(values, 1):
        if not isinstance(row, dict):
            raise SkilldeltaError(f"Row {number} of {name} is {json.dumps(row)[:60]}, no object.")
    return values


def zip_members(path: Path, ending: str) -> Iterator[tuple[str, str]]:
    """(name, text) of every file in a zip archive whose name ends with `ending`, in name order."""
    refuse_lfs_pointer(path)
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(ending):
                yield name, archive.read(name).decode("utf-8")


def hub_rows(source: DataSource) -> Iterable[dict[str, Any]]:
    """The split as `datasets` gives it.  Needs the Hub, or its local cache."""
    import datasets

    try:
        if source.file:
            return read(hub_file(source))
        dataset = datasets.load_dataset(source.hub, source.config or None, split=source.split, revision=source.revision or None)
    except Exception as error:  # datasets raises many kinds: each means that the rows cannot be read
        local = f"\nOr put the file {source.local} into a folder, and name it with {VARIABLE} (`score` also takes --data)."
        raise SkilldeltaError(f"{explain_hub_error(source, error)}{local if source.local else ''}") from error
    return (dict(row) for row in dataset)


def explain_hub_error(source: DataSource, error: Exception) -> str:
    """Why the rows cannot be read from the Hub, in words: what is missing there, or that it is out of reach."""
    from huggingface_hub import constants, errors

    chain: list[BaseException] = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)

    def is_any(*kinds: type[BaseException]) -> bool:
        return any(isinstance(each, kinds) for each in chain)

    reason = f"{type(error).__name__}: {error}"
    if is_any(errors.GatedRepoError) or "gated dataset" in str(error):
        page = f"{constants.ENDPOINT}/datasets/{source.hub}"
        return (
            f"The data set {source.hub!r} asks its readers to accept terms: do so at {page}, then log in with `hf auth login`."
        )
    if is_any(errors.RevisionNotFoundError) or "Revision" in str(error):
        return f"The data set {source.hub!r} has no revision {source.revision!r} on the Hub ({reason})."
    if "BuilderConfig" in str(error):
        return f"The data set {source.hub!r} has no config {source.config!r} on the Hub ({reason})."
    if "nknown split" in str(error):
        return f"The data set {source.hub!r} has no split {source.split!r} on the Hub ({reason})."
    if source.file and is_any(errors.RemoteEntryNotFoundError):
        return f"The data set {source.hub!r} has no file {source.file!r} on the Hub ({reason})."
    if constants.HF_HUB_OFFLINE:
        return f"The data set {source.hub!r} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it: unset it ({reason})."
    if is_any(errors.RepositoryNotFoundError) or "doesn't exist on the Hub" in str(error):
        return f"There is no data set {source.hub!r} on the Hub ({reason})."
    return f"The data set {source.hub!r} cannot be read from the Hub: {reason}"


def hub_file(source: DataSource) -> Path:
    """A file of the data set's repository, downloaded once."""
    import huggingface_hub

    return Path(huggingface_hub.hf_hub_download(source.hub, source.file, repo_type="dataset", revision=source.revision or None))


def check_columns(rows: Iterable[Row], columns: Sequence[str], where: str) -> Iterator[Row]:
    """The rows.  SkilldeltaError at the first that lacks one of `columns`, and where there are none."""
    empty = True
    for number, row in enumerate(rows):
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
class ExampleSelection:
    """Which examples of a task: the first `limit` of each group (or of all), or with a `seed` a random `limit`."""

    limit: int | None = None
    seed: int | None = None
    per_group: bool = True


def examples(task: Task, folder: Path | None, selection: ExampleSelection | None = None) -> list[Example]:
    """The examples of a task, in the order of its rows; rows with the same content are numbered."""
    with task_errors(task.name, "as its rows are read"):
        fewshot = task.fewshot(folder) if task.fewshot else {}
        every_example = []
        for example in number_rows(task.rows(folder)):
            exemplars = fewshot.get(task.group(example) if task.group else "", fewshot.get("", ()))
            every_example.append(Example(example.row, example.copy, tuple(exemplars)))
        return select_examples(every_example, task.group, selection or ExampleSelection())


def number_rows(rows: Iterable[Json]) -> list[Example]:
    """Rows as examples without exemplars; each knows how many earlier ones have its content."""
    copies: dict[str, int] = {}
    examples = []
    for number, row in enumerate(rows, 1):
        key = identify_row(row, number)
        examples.append(Example(row, copies.get(key, 0)))
        copies[key] = examples[-1].copy + 1
    return examples


def select_examples(
    examples: list[Example], group: Callable[[Example], str] | None, selection: ExampleSelection
) -> list[Example]:
    """The selected examples, in their order."""
    if selection.limit is None:
        return examples
    strata = group_by(range(len(examples)), lambda i: group(examples[i]) if group and selection.per_group else "")
    places: list[int] = []
    for members in strata.values():
        if selection.seed is None or selection.limit >= len(members):
            places += members[: selection.limit]
        else:
            places += random.Random(selection.seed).sample(members, selection.limit)
    return [examples[i] for i in sorted(places)]


def content_hash(examples: Sequence[Example]) -> str:
    """One hash for exactly these examples in this order."""
    return digest([example.id for example in examples])
