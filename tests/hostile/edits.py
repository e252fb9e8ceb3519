"""What damages a copy of a good folder: edits of its JSON, of its lines, of the header of its weights; other files.

The tables of this package are read by today's code and by older code alike (`make damage`): where a results folder has the keys
of format 1, an edit takes the former key of the same field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.records import KINDS, CellRecord, TaskRecord
from harness.sample_lines import FORMER
from tests.support.forked import Case

Edit = Callable[[Path], object]
Arguments = Callable[[Path], list[str]]
Change = Callable[[Any], object]  # of a value in place; or what it returns takes its place
ESCAPES = "\x1b]0;x\x07\u202e\x9b31m"
SECRET = "sk-secretsecretsecret12"  # stands in no output and no file
MARKER = "ran"  # a file beside the case's folder: what no code of a stranger's may write
OLDER_KEYS = {new: old for keys in (CellRecord.FORMER, TaskRecord.FORMER, FORMER) for old, new in keys.items()}
OLDER_KINDS = {new: old for old, new in KINDS.items()}


def key_of(content: Mapping[str, Any], key: str) -> str:
    """The key of a field in a file of format 1 or 2."""
    return older if (older := OLDER_KEYS.get(key, key)) in content else key


def at(target: str, act: Callable[[Path], object]) -> Edit:
    """An edit of the file or folder `target` of a good folder."""
    return lambda folder: act(folder / target)


def put(target: str, content: str | bytes) -> Edit:
    """Another content, or a new file; half characters are written as they are."""
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")

    def act(file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(data)

    return at(target, act)


def change_json(target: str, change: Change) -> Edit:
    """A change of a JSON file's value."""

    def act(file: Path) -> None:
        value = json.loads(file.read_text())
        file.write_text(json.dumps(change(value) or value))

    return at(target, act)


def fields(target: str, within: str = "", **values: Any) -> Edit:
    """Other values of fields of a JSON file's object, or of the object that `within` names in it."""

    def change(content: dict[str, Any]) -> None:
        inner = content[key_of(content, within)] if within else content
        inner.update({key_of(inner, key): value for key, value in values.items()})

    return change_json(target, change)


def change_lines(target: str, change: Callable[[list[Any]], object]) -> Edit:
    """A change of the list of a file's JSON lines; a text in the list is written as it is."""

    def act(file: Path) -> None:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        lines = [row if isinstance(row, str) else json.dumps(row) for row in change(rows) or rows]  # type: ignore[attr-defined]
        file.write_text("".join(line + "\n" for line in lines))

    return at(target, act)


def every_line(target: str, **values: Any) -> Edit:
    """Other values of fields of all lines."""
    return change_lines(target, lambda rows: [row | {key_of(row, k): v for k, v in values.items()} for row in rows])


def first_line(target: str, **values: Any) -> Edit:
    return change_lines(target, lambda rows: [rows[0] | {key_of(rows[0], k): v for k, v in values.items()}, *rows[1:]])


def change_first_bytes(target: str, change: Callable[[bytes], bytes]) -> Edit:
    """A change of the first line's bytes."""

    def act(file: Path) -> None:
        first, rest = file.read_bytes().split(b"\n", 1)
        file.write_bytes(change(first) + b"\n" + rest)

    return at(target, act)


def append(target: str, data: bytes) -> Edit:
    return at(target, lambda file: file.write_bytes(file.read_bytes() + data))


def change_header(target: str, change: Change) -> Edit:
    """Another header of a safetensors file: an object, or bytes."""

    def act(file: Path) -> None:
        content = file.read_bytes()
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        header = change(header) or header
        data = header if isinstance(header, bytes) else json.dumps(header).encode()
        file.write_bytes(len(data).to_bytes(8, "little") + data + content[8 + size :])

    return at(target, act)


def change_tensor_entries(target: str, **values: Any) -> Edit:
    """The same values in the entry of every tensor."""
    return change_header(target, lambda header: {k: v if k == "__metadata__" else {**v, **values} for k, v in header.items()})


def all_of(*edits: Edit) -> Edit:
    return lambda folder: [edit(folder) for edit in edits]


def cases(good: Path, edits: Mapping[str, Edit], arguments: Arguments, expects: str = "", verb: str = "") -> Iterator[Case]:
    """One case for each edit."""
    for name, edit in edits.items():
        yield Case(f"{name}, by {verb}" if verb else name, good, edit, arguments, expects)


def write_as_format_1(folder: Path) -> None:
    """Rewrites a results folder with the keys of format 1, as programs read it that know no other."""
    (folder / "skilldelta.json").write_text('{"format": 1}')
    for file in folder.glob("*/*/task.json"):
        record = json.loads(file.read_text())
        record["inputs"]["kind"] = OLDER_KINDS[record["inputs"]["kind"]]
        record["task"] = {OLDER_KEYS.get(key, key): value for key, value in record["task"].items()}
        file.write_text(json.dumps({OLDER_KEYS.get(key, key): value for key, value in record.items()}))
    for file in folder.glob("*/*/samples.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        renamed = [{OLDER_KEYS.get(key, key): value for key, value in row.items()} for row in rows]
        file.write_text("".join(json.dumps(row) + "\n" for row in renamed))
