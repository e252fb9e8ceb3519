"""What a stage reads from outside of the study's folder, by content: a corrected file of pairs is trained on anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.file_hashes import hash_content, hash_stream
from harness.types import digest

WEIGHTS = (".safetensors", ".bin", ".gguf")  # of a model's folder what counts; logs and caches beside it change


def find_places(arguments: Sequence[str]) -> tuple[str, ...]:
    """The absolute paths among the arguments of a command, and among the values of its flags."""
    values = [argument.partition("=")[2] if argument.startswith("--") else argument for argument in arguments]
    return tuple(dict.fromkeys(part for value in values for part in value.split(",") if part.startswith("/")))


def hash_place(place: str) -> str:
    """The hash of a file's content, or of the weights in a folder and below; "" where nothing is."""
    path = Path(place)
    if path.is_file():
        return digest(hash_stream(path).hex())
    files = sorted(p for p in path.rglob("*") if p.suffix in WEIGHTS and p.is_file())
    return digest([[str(file.relative_to(path)), hash_content(file).hex()] for file in files]) if path.is_dir() else ""


def hash_inputs(places: Sequence[str], mark: Mapping[str, Any]) -> dict[str, str]:
    """The hash of each place; of one that is gone, that which the stage's mark holds: what is done stays done."""
    before = mark.get("inputs")
    hashes = before if isinstance(before, Mapping) else {}
    return {place: hash_place(place) or str(hashes.get(place, "")) for place in places}
