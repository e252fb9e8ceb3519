"""GGUF files, as llama.cpp has them: weights (often quantised), config, tokenizer and template in one file.

Each file is a checkpoint; a folder with a model's config.json is a model of its own, whatever GGUF files lie there too.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from harness.bounded_files import UnreadableFileError, count_written, open_bytes
from harness.checkpoint_folders import has_model_config
from harness.folder_entries import find_entries
from harness.integrity import ADAPTER_CONFIG
from harness.types import Checkpoint

ORDER = 40  # asked after those that know whole folders
MAGIC = b"GGUF"
SPLIT = re.compile(r"-\d{5}-of-\d{5}$")
NO_LANGUAGE_MODEL = re.compile(r"^(?:mmproj|ggml-vocab)", re.IGNORECASE)  # what reads pictures, and a vocabulary alone


def find(path: Path) -> list[Checkpoint]:
    """A checkpoint for each GGUF file of a folder, in the order of their names."""
    if has_model_config(path) or (path / ADAPTER_CONFIG).is_file():
        return []
    return describe_files(path)


def describe_files(path: Path) -> list[Checkpoint]:
    """The GGUF files of a folder as checkpoints."""
    files = sorted(file for file in find_entries(path, "*.gguf") if file.is_file() and not NO_LANGUAGE_MODEL.match(file.name))
    return [describe_file(file) for file in files]


def describe_file(file: Path) -> Checkpoint:
    """A GGUF file as a checkpoint; ready or with what is wrong."""
    return Checkpoint(file.stem, str(file), "gguf", problem=find_problem(file))


def find_problem(file: Path) -> str:
    """Why a file cannot be scored; ""."""
    if SPLIT.search(file.stem):
        return "a part of a split GGUF file: join the parts first (llama-gguf-split --merge)"
    try:
        with open_bytes(file) as stream:
            is_gguf = stream.read(len(MAGIC)) == MAGIC
        size, content = file.stat().st_size, count_written(file)
    except UnreadableFileError as error:
        return str(error)
    if not is_gguf:
        return "no GGUF file: it does not begin with the letters GGUF (a pointer of Git LFS, or half a download?)"
    if content < size / 2:  # nothing reads so much emptiness; whole files may have holes where their weights are zeros
        return f"half a download: of its {size:,} bytes {content:,} were written"
    if find_spec("gguf") is None:
        return "a GGUF file, and the package that reads them is missing: pip install 'skilldelta[gguf]'"
    return ""
