"""What makes two scores comparable, and two checkpoints the same one, as hashes of content: never of paths or dates."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.integrity import ADAPTER, SINGLE, weight_files
from harness.types import Checkpoint, Request, digest

TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json")
TEMPLATE = ("chat_template.jinja", "chat_template.json")
CHUNK = 1 << 22  # bytes
LARGE = 1 << 26  # bytes


def checkpoint(found: Checkpoint) -> dict[str, str]:
    """Hashes of the parts of a checkpoint that can move an answer: weights, adapter, config, tokenizer, template."""
    if not found.path:
        return {"outputs": found.content or found.name}
    folder = Path(found.path)
    if not folder.is_dir():
        return {"hub": found.path}
    base = Path(found.base) if found.base else folder
    parts = {
        "weights": files(weight_files(base, SINGLE)) if base.is_dir() else f"hub:{found.base}",
        "adapter": files([*weight_files(folder, ADAPTER), folder / "adapter_config.json"]) if found.base else "",
        "config": files([base / "config.json"]),
        "tokenizer": files(folder / n for n in TOKENIZER),
        "template": files(folder / n for n in TEMPLATE),
    }
    return {name: value for name, value in parts.items() if value}


def files(paths: Iterable[Path]) -> str:
    """One SHA-256 (first 16 hex digits) over the names and contents of the files that exist; "" if none does."""
    whole = hashlib.sha256()
    empty = True
    for path in paths:
        if path.is_file():
            empty = False
            whole.update(path.name.encode() + b"\0" + content(path))
    return "" if empty else whole.hexdigest()[:16]


def content(path: Path) -> bytes:
    """SHA-256 of a file's content.  That of a large file is remembered, for as long as the file is not touched."""
    about = path.stat()
    if about.st_size < LARGE:
        return read(path)
    # A write changes the change time (st_ctime), which no program can set back, so that no stale hash is ever given.
    touched = [str(path.resolve()), about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns]
    note = cache() / digest(touched, 32)
    if note.is_file() and len(known := note.read_bytes()) == 32:
        return known
    found = read(path)
    note.parent.mkdir(parents=True, exist_ok=True)
    half = note.with_suffix(f".{os.getpid()}")
    half.write_bytes(found)
    half.replace(note)
    return found


def read(path: Path) -> bytes:
    """SHA-256 of a file's content, read in chunks."""
    one = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            one.update(block)
    return one.digest()


def cache() -> Path:
    """Where hashes of large files are remembered."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skilldelta" / "sha256"


def prompts(requests: Sequence[Request]) -> str:
    """One hash for everything that was asked, in order: prompts, choices, stops, lengths, sampling."""
    return digest([request.id for request in requests])


def differences(one: Any, other: Any, where: str = "") -> list[tuple[str, str, str]]:
    """Where two JSON values differ, as (name, one side, other side), each side as short JSON."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            found
            for key in sorted({*one, *other})
            for found in differences(one.get(key), other.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if one == other else [(where, brief(one), brief(other))]


def brief(value: Any, length: int = 60) -> str:
    """A value as JSON, cut to `length` characters."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= length else f"{text[: length - 1]}…"
