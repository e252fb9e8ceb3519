"""Is a folder of weights complete?  The files' sizes and headers tell: nothing is loaded, nothing unpickled."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

MAX_HEADER = 100_000_000  # bytes; the safetensors format's own limit
SINGLE = ("model.safetensors", "pytorch_model.bin")
ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def find_problem(folder: Path, names: tuple[str, ...] = SINGLE) -> str:
    """What is wrong with the weights in `folder`, "" when they are whole."""
    try:
        files = weight_files(folder, names)
    except (ValueError, OSError) as error:
        return str(error)
    if not files:
        return f"no weights: none of {', '.join((*names, *(INDEXES if names == SINGLE else ())))}"
    return next((fault for file in files if (fault := find_file_problem(file))), "")


def weight_files(folder: Path, names: tuple[str, ...] = SINGLE) -> list[Path]:
    """The files that hold the weights: safetensors before .bin, one file before an index of shards.

    Raises ValueError when an index cannot be read or names a path outside of the folder.
    """
    kinds = (".safetensors", ".bin")
    for kind in kinds:
        if single := [folder / n for n in names if n.endswith(kind) and (folder / n).exists()]:
            return single[:1]
        for index in (folder / n for n in INDEXES if names == SINGLE and kind in n):
            if index.exists():
                return list_shards(index)
    return []


def list_shards(index: Path) -> list[Path]:
    """The files that an index of shards names, in name order."""
    content = read_json(index)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index.name} has no weight_map")
    names = sorted({str(n) for n in weight_map.values()})
    if outside := [n for n in names if Path(n).name != n]:
        raise ValueError(f"{index.name} names a file outside of its folder: {outside[0]!r}")
    return [index.parent / n for n in names]


def find_file_problem(file: Path) -> str:
    """What is wrong with one weight file; a half-written safetensors file is named as such."""
    if not file.is_file():
        return f"{file.name} is missing"
    size = file.stat().st_size
    if size == 0:
        return f"{file.name} is empty"
    return safetensors_problem(file, size) if file.suffix == ".safetensors" else ""


def safetensors_problem(file: Path, size: int) -> str:
    """Compares the size that the header promises with the size on disk (format: 8 bytes length, JSON header, data)."""
    with file.open("rb") as stream:
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else MAX_HEADER + 1
        if length > MAX_HEADER:
            return f"{file.name} is not a safetensors file, or only its first bytes were written"
        if length + 8 > size:
            return f"{file.name} is half-written: its header alone needs {length + 8} bytes, the file has {size}"
        try:
            header = json.loads(stream.read(length))
            ends = [int(t["data_offsets"][1]) for name, t in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return f"{file.name} has a damaged header"
    full_size = 8 + length + max(ends, default=0)
    if size != full_size:
        state = "half-written" if size < full_size else "longer than its header says"
        return f"{file.name} is {state}: {size} bytes, its header promises {full_size}"
    return ""


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file; ValueError names the file when it holds none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} does not hold a JSON object")
    return content
