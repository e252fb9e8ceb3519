"""What is wrong with the tokenizer of a checkpoint, as far as its files tell without loading it."""

from __future__ import annotations

import os
from pathlib import Path

from harness.bounded_files import LFS_POINTER, open_bytes
from harness.folder_entries import find_entries
from harness.tokenizer_folders import TOKENIZER, TOKENIZER_CONFIG, VOCABULARIES, has_vocabulary, tokenizer_source
from harness.types import Checkpoint

ENDS = 256  # bytes of a file, at its beginning and at its end, by which a half of it is told


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
    if not folder.is_dir() or has_vocabulary(folder) or find_entries(folder, "*.py"):
        return ""
    return "no tokenizer: none of " + ", ".join(VOCABULARIES[:4]) + "; name its folder with --tokenizer DIR"
