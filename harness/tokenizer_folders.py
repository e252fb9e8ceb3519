"""Where the tokenizer of a checkpoint lies: in its own folder, its run's, or its base's."""

from __future__ import annotations

import os
from pathlib import Path

from harness.bounded_files import LFS_POINTER, open_bytes
from harness.types import Checkpoint

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
ENDS = 256  # bytes of a file, at its beginning and at its end, by which a half of it is told
VOCABULARIES = (TOKENIZER, "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def tokenizer_source(checkpoint: Checkpoint) -> str:
    """The folder or Hub name of the tokenizer: the one that was named, the checkpoint's own, its run's, or its base's.

    A folder with settings of a tokenizer, and no vocabulary, has none: copies of runs often leave large files out.
    """
    if checkpoint.tokenizer:
        return checkpoint.tokenizer
    own = next((place for place in own_folders(checkpoint) if has_tokenizer(Path(place))), "")
    return own or checkpoint.base or checkpoint.path


def own_folders(checkpoint: Checkpoint) -> list[str]:
    """Where a checkpoint's own files are looked for: in its folder, its run's, and those of the adapters below it."""
    return [checkpoint.path, *([checkpoint.run] if checkpoint.run else []), *reversed(checkpoint.adapters)]


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer's settings and its vocabulary lie in a folder."""
    return has_vocabulary(folder) and os.path.lexists(folder / TOKENIZER_CONFIG)


def has_vocabulary(folder: Path) -> bool:
    return any((folder / name).is_file() for name in VOCABULARIES) or any(folder.glob("*.tiktoken"))


def explain_tokenizer(folder: Path) -> str:
    """What is wrong with the files of a folder's tokenizer, as far as their ends tell; "" where nothing is seen."""
    for name in (TOKENIZER, TOKENIZER_CONFIG):
        if not (folder / name).is_file():
            continue
        with open_bytes(folder / name) as stream:
            head = stream.read(ENDS)
            stream.seek(max(os.fstat(stream.fileno()).st_size - ENDS, 0))
            tail = stream.read(ENDS)
        if head.startswith(LFS_POINTER):
            return f"{name} is a pointer of Git LFS: `git lfs pull` fetches the file"
        if not (head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and tail.rstrip().endswith(b"}")):
            return f"{name} is half-written, or no JSON object"
    return ""


def explain_missing_tokenizer(checkpoint: Checkpoint) -> str:
    """Why a checkpoint reads no text; "" where it has a tokenizer, or where only loading it will tell."""
    folder = Path(tokenizer_source(checkpoint))
    if fault := explain_tokenizer(folder):
        return fault
    if not folder.is_dir() or has_vocabulary(folder) or any(folder.glob("*.py")):
        return ""
    return "no tokenizer: none of " + ", ".join(VOCABULARIES[:4]) + "; name its folder with --tokenizer DIR"
