"""Is a folder of weights complete?  The files' sizes and headers tell: nothing is loaded, nothing unpickled.

Every file here may come from a stranger: it may be damaged, absurd, no file at all, or made to hurt the program that reads it.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.bounded_files import explain_no_file, is_lfs_pointer, link_target, open_bytes, read_json
from harness.folder_entries import list_entries
from harness.json_texts import decode_json
from harness.visible_text import printable

MAX_HEADER = 100_000_000  # bytes; the safetensors format's own limit
MAX_TENSORS = 150_000  # of one file; adapters of 384 experts in each of 60 layers have 138,240
SLACK = 1000  # brackets beside those of tensors, in what the file says of itself
MAX_DIMENSIONS = 64  # of a tensor, as torch has it
SINGLE = ("model.safetensors", "pytorch_model.bin")
ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
DAMAGED = "damaged weights"  # stands for the content of files that are not worth reading
NO_WEIGHTS = "no weights"
ZIP_BEGIN, ZIP_END, ZIP_TAIL = b"PK\x03\x04", b"PK\x05\x06", 22 + 65_535  # a comment may follow the last record
ADAPTER_CONFIG = "adapter_config.json"
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".msgpack", ".h5", ".npz")
STATE_NAME = re.compile(r"optim|sched|scaler|rng|random_state|training_args|value_head|dataloader", re.I)
SHARD_NAME = re.compile(r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)$")
# Bits of each type of the safetensors format.
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
TYPE_NAME = re.compile(r"[A-Z]\w{0,15}")
BITS |= {
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


@dataclass(frozen=True)
class TensorHeader:
    """What a file says of one of its tensors."""

    dtype: str  # by the name of the file's format
    shape: tuple[int, ...]


Headers = Mapping[str, TensorHeader]  # by the tensor's name


class BrokenWeightsError(Exception):
    """Weights that cannot be what they should be; the message says why."""


class UncheckedError(Exception):
    """The contract cannot be checked from headers; the message says why.  Loading it may work all the same."""


def find_problem(folder: Path, names: tuple[str, ...] = SINGLE) -> str:
    """What is wrong with the weights in `folder`, "" when they are whole."""
    try:
        files = weight_files(folder, names)
        if not files:
            if names == ADAPTER and (folder / "adapters.safetensors").exists():
                return "an adapter of MLX (adapters.safetensors): `mlx_lm.fuse` makes a whole model of it and its base"
            there = describe_other_files(folder)
            return f"{NO_WEIGHTS}: none of {', '.join((*names, *(INDEXES if names == SINGLE else ())))}{there}"
        return next((fault for file in files if (fault := find_file_problem(file))), "")
    except (ValueError, OSError) as error:
        return printable(str(error))


def describe_other_files(folder: Path) -> str:
    """Which files that may hold weights lie in a folder under other names, and what they miss; "" for none."""
    present = list_entries(folder).files
    files = [name for name in present if Path(name).suffix in WEIGHT_SUFFIXES and not STATE_NAME.search(name)]
    if not files:
        return ""
    shard = next((match for name in files if (match := SHARD_NAME.match(name))), None)
    way_out = (
        f"; shards need their index, {shard[1]}.{shard[2]}.index.json: copy it from where they were saved" if shard else ""
    )
    return f"; there are {', '.join(map(printable, files[:3]))}{', ...' * (len(files) > 3)}{way_out}"


def weight_files(folder: Path, names: tuple[str, ...] = SINGLE) -> list[Path]:
    """The files that hold the weights: safetensors before .bin, one file before an index of shards.

    Raises ValueError when an index cannot be read or names a path outside of the folder.
    """
    return next(iter(weight_sets(folder, names).values()), [])


def weight_sets(folder: Path, names: tuple[str, ...] = SINGLE) -> dict[str, list[Path]]:
    """Every set of weights in a folder, by the file that stands for it; the first is the one that is loaded."""
    sets: dict[str, list[Path]] = {}
    for kind in (".safetensors", ".bin"):
        sets |= {n: [folder / n] for n in names if n.endswith(kind) and os.path.lexists(folder / n)}
        indexes = [n for n in INDEXES if names == SINGLE and kind in n and os.path.lexists(folder / n)]
        sets |= {n: list_shards(folder / n) for n in indexes}
    return sets


def list_shards(index: Path) -> list[Path]:
    """The files that an index of shards names, in name order."""
    content = read_json(index)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index.name} has no weight_map")
    names = sorted({str(n) for n in weight_map.values()})
    if outside := [n for n in names if Path(n).name != n or n in (".", "..") or not n.isprintable()]:
        raise ValueError(f"{index.name} names a file outside of its folder: {printable(outside[0])!r}")
    return [index.parent / n for n in names]


def find_file_problem(file: Path) -> str:
    """What is wrong with one weight file; a half-written safetensors file is named as such."""
    if fault := explain_no_file(file):
        return fault
    if file.stat().st_size == 0:
        return f"{file.name} is empty"
    if is_lfs_pointer(file):
        return f"{file.name} is a pointer of Git LFS, not a safetensors file or other weights: `git lfs pull` fetches them"
    if file.suffix == ".bin" and is_cut_archive(file):
        return f"{file.name} is half-written: it begins as an archive of torch, and has no end"
    if file.suffix == ".safetensors":
        try:
            read_header(file)
        except ValueError as error:
            return str(error)
    return ""


def is_cut_archive(file: Path) -> bool:
    """Whether a file begins as a zip archive, as torch saves weights, and lacks the record with which each ends."""
    with open_bytes(file) as stream:
        head = stream.read(len(ZIP_BEGIN))
        stream.seek(max(os.fstat(stream.fileno()).st_size - ZIP_TAIL, 0))
        return head == ZIP_BEGIN and ZIP_END not in stream.read(ZIP_TAIL)


def read_header(file: Path) -> dict[str, TensorHeader]:
    """The tensors of a safetensors file (format: 8 bytes length, JSON header, data).

    ValueError where the header is damaged, or promises another size than the file has.
    """
    name = f"{file.name} (a link to {link_target(file)})" if file.is_symlink() else file.name
    with open_bytes(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else MAX_HEADER + 1
        if length > MAX_HEADER:
            raise ValueError(f"{name} is not a safetensors file, or only its first bytes were written")
        if length + 8 > size:
            raise ValueError(f"{name} is half-written: its header alone needs {length + 8} bytes, the file has {size}")
        text = stream.read(length)
    if text.count(b"[") + text.count(b"{") > 3 * MAX_TENSORS + SLACK or text.count(b",") > 20 * MAX_TENSORS:
        raise ValueError(f"{name} has a header of more than {MAX_TENSORS:,} tensors: it is damaged, or made to hurt")
    try:
        tensors, end = parse_header(text)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{name} has a damaged header") from error
    full_size = 8 + length + end
    if size != full_size:
        state = "half-written" if size < full_size else "longer than its header says"
        raise ValueError(f"{name} is {state}: {size} bytes, its header promises {full_size}")
    return dict(tensors)


@lru_cache(maxsize=4)
def parse_header(text: bytes) -> tuple[Headers, int]:
    """The tensors of a safetensors header, and the bytes of their data.  ValueError and others where it is damaged.

    It is asked for several times before a model is loaded, and takes seconds where there are very many tensors.
    """
    header = {key: value for key, value in decode_json(text, once=True).items() if key != "__metadata__"}
    tensors = {key: parse_tensor(value) for key, value in header.items()}
    require_adjacent(tuple(value["data_offsets"]) for value in header.values())
    return {key: tensor for key, (tensor, _) in tensors.items()}, max((end for _, end in tensors.values()), default=0)


def require_adjacent(places: Iterable[tuple[int, int]]) -> None:
    """ValueError where tensors share bytes, or bytes belong to none: the format allows neither."""
    end_before = 0
    for start, end in sorted(places):
        if start != end_before:
            raise ValueError("tensors overlap, or leave bytes out")
        end_before = end


def parse_tensor(value: Mapping[str, Any]) -> tuple[TensorHeader, int]:
    """A tensor in a header, and where its data end.  ValueError where its shape needs another number of bytes."""
    start, end = value["data_offsets"]
    shape, dtype = tuple(value["shape"]), value["dtype"]
    if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 63 for n in (start, end, *shape)) or end < start:
        raise ValueError("sizes must be whole numbers from 0")
    if not isinstance(dtype, str) or not TYPE_NAME.fullmatch(dtype):
        raise ValueError("a tensor's type has no name")
    if dtype in BITS and math.prod(shape) * BITS[dtype] != 8 * (end - start):
        raise ValueError("a tensor's shape and its data differ in size")
    return TensorHeader(dtype, shape), end
