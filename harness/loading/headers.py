"""Names, shapes and types of all tensors in a folder of weights, without their data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from harness.integrity import ADAPTER, SINGLE, BrokenWeightsError, Headers, TensorHeader, read_header, weight_sets
from harness.visible_text import first_line, printable

SAMPLE = 256  # values of a tensor, at its beginning and at its end, by which two files are told apart
# What torch raises for unsafe weights; named in this way, nothing here imports pickle.
UnsafeWeightsError: type[Exception] = vars(torch.serialization)["pickle"].UnpicklingError
UNSAFE_WEIGHTS = (
    "holds pickled weights that are more than tensors: to load them would run code of their own, so they are refused.  "
    "Save the model as safetensors where you trust it"
)


def read_headers(files: Sequence[Path]) -> dict[str, TensorHeader]:
    """The tensors of a set of weights.  BrokenWeightsError where a file cannot be read, or two have the same tensor."""
    headers: dict[str, TensorHeader] = {}
    for file in files:
        try:
            tensors = read_header(file) if file.suffix == ".safetensors" else pickled_headers(file)
        except (ValueError, OSError) as error:
            raise BrokenWeightsError(str(error)) from error
        if twice := sorted(headers.keys() & tensors.keys()):
            raise BrokenWeightsError(f"{printable(twice[0])} is in two of the files {files[0].name} ... {files[-1].name}")
        headers |= tensors
    return headers


def pickled_headers(file: Path) -> dict[str, TensorHeader]:
    """The tensors of a .bin file, of which only the pickled part is read, and only tensors are taken from it."""
    content = open_pickled(file, "meta")
    return {name: TensorHeader(str(value.dtype).removeprefix("torch."), tuple(value.shape)) for name, value in content.items()}


def open_pickled(file: Path, device: str) -> dict[str, torch.Tensor]:
    """The tensors of a .bin file on a device.  On the processor their data stay in the file until they are used."""
    try:
        content: Any = torch.load(file, map_location=device, weights_only=True, mmap=device == "cpu" or None)
    except UnsafeWeightsError as error:
        raise BrokenWeightsError(f"{file.name} {UNSAFE_WEIGHTS}") from error
    except Exception as error:  # of damaged bytes torch's unpickler raises whatever Python does: IndexError, AssertionError
        raise BrokenWeightsError(f"{file.name} is half-written or no file of torch: {printable(first_line(error))}") from error
    if not isinstance(content, dict) or not all(isinstance(n, str) and isinstance(v, torch.Tensor) for n, v in content.items()):
        raise BrokenWeightsError(f"{file.name} holds something else than named tensors")
    return content


def explain_two_sets(folder: Path, names: tuple[str, ...] = SINGLE) -> str:
    """Which two sets of weights in a folder differ; "" where there is one, or where the second holds the same.

    Compared by names, shapes and the values at both ends of each tensor.
    """
    sets = list(weight_sets(folder, names).items())
    for other, files in sets[1:]:
        present = [file for file in files if file.is_file() and file.stat().st_size]
        if len(present) == len(files) and (difference := find_difference(sets[0][1], files)):
            kind = "adapter" if names == ADAPTER else "model"
            return (
                f"two sets of weights that differ: {sets[0][0]} and {other} ({difference}).  "
                f"Nothing says which of them is the {kind}: delete or move one"
            )
    return ""


def find_difference(left: Sequence[Path], right: Sequence[Path]) -> str:
    """The first tensor that both sets hold and that differs; "" where all agree, or the second set cannot be read."""
    ours, theirs = read_headers(left), read_headers_or_none(right)
    common = sorted(ours.keys() & theirs.keys())
    if theirs and not common:
        return "they have no tensor in common"
    if shapes := [name for name in common if ours[name].shape != theirs[name].shape]:
        return f"{printable(shapes[0])} has other sizes"
    ends = zip(sample_values(left, common), sample_values(right, common), strict=True)
    return next((f"{printable(name)} has other values" for name, (a, b) in zip(common, ends, strict=True) if unlike(a, b)), "")


def read_headers_or_none(files: Sequence[Path]) -> Headers:
    """The tensors of a set that would not be loaded; {} where it is damaged."""
    try:
        return read_headers(files)
    except BrokenWeightsError:
        return {}


def unlike(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two samples of a tensor differ by more than the coarser of their two types explains."""
    coarser = min((left.dtype, right.dtype), key=lambda dtype: torch.finfo(dtype).bits if dtype.is_floating_point else 64)
    return not torch.equal(left.to(coarser).nan_to_num(), right.to(coarser).nan_to_num())


def sample_values(files: Sequence[Path], names: Sequence[str]) -> Iterator[torch.Tensor]:
    """The first and the last values of each named tensor, of which the first and the last row alone are read."""
    for tensor in open_tensors(files, names):
        has_rows = bool(tensor_shape(tensor)) and 0 not in tensor_shape(tensor)
        rows = [tensor[:1], tensor[-1:]] if has_rows else [tensor[...]]
        flat = torch.cat([row.reshape(-1) for row in rows])
        yield torch.cat([flat[:SAMPLE], flat[-SAMPLE:]])


def tensor_shape(tensor: Any) -> list[int]:
    """The sizes of a tensor, or of one that is still in its file."""
    return list(tensor.shape if isinstance(tensor, torch.Tensor) else tensor.get_shape())


def open_tensors(files: Sequence[Path], names: Sequence[str]) -> Iterator[Any]:
    """Each named tensor in turn, as something that is read when it is sliced."""
    pickle_tensors = {
        name: tensor for f in files if f.suffix != ".safetensors" for name, tensor in open_pickled(f, "cpu").items()
    }
    try:
        readers: list[Any] = [safe_open(file, "pt") for file in files if file.suffix == ".safetensors"]
    except (SafetensorError, OSError) as error:
        raise BrokenWeightsError(f"its weights cannot be opened: {printable(str(error))[:300]}") from error
    places = {name: reader for reader in readers for name in reader.keys()}  # noqa: SIM118  no mapping: it has keys() alone
    for name in names:
        yield pickle_tensors[name] if name in pickle_tensors else places[name].get_slice(name)
