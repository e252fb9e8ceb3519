"""Hashes that tell whether two checkpoints, or two sets of questions, are the same: of content, never of paths or dates."""

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
LARGE = 1 << 26  # bytes


def hash_checkpoint(checkpoint: Checkpoint) -> dict[str, str]:
    """Hashes of the parts of a checkpoint that can move an answer: weights, adapter, config, tokenizer, template."""
    if not checkpoint.path:
        return {"outputs": checkpoint.content or checkpoint.name}
    folder = Path(checkpoint.path)
    if not folder.is_dir():
        return {"hub": checkpoint.path}
    base = Path(checkpoint.base) if checkpoint.base else folder
    parts = {
        "weights": hash_files(weight_files(base, SINGLE)) if base.is_dir() else f"hub:{checkpoint.base}",
        "adapter": hash_files([*weight_files(folder, ADAPTER), folder / "adapter_config.json"]) if checkpoint.base else "",
        "config": hash_files([base / "config.json"]),
        "tokenizer": hash_files(folder / n for n in TOKENIZER),
        "template": hash_files(folder / n for n in TEMPLATE),
    }
    return {name: value for name, value in parts.items() if value}


def hash_files(paths: Iterable[Path]) -> str:
    """One SHA-256 (first 16 hex digits) over the names and contents of the files that exist; "" if none does."""
    parts = [path.name.encode() + b"\0" + hash_content(path) for path in paths if path.is_file()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16] if parts else ""


def hash_content(path: Path) -> bytes:
    """SHA-256 of a file's content.  The hash of a large file is cached until the file changes."""
    status = path.stat()
    if status.st_size < LARGE:
        return hash_stream(path)
    # A write changes the change time (st_ctime), which no program can set back, so that the cache never gives a stale hash.
    identity = [str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    memo = cache_folder() / digest(identity, 32)
    if memo.is_file() and len(cached_hash := memo.read_bytes()) == 32:
        return cached_hash
    content_hash = hash_stream(path)
    memo.parent.mkdir(parents=True, exist_ok=True)
    half = memo.with_suffix(f".{os.getpid()}")
    half.write_bytes(content_hash)
    half.replace(memo)
    return content_hash


def hash_stream(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def cache_folder() -> Path:
    """Where hashes of large files are cached."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skilldelta" / "sha256"


def hash_requests(requests: Sequence[Request]) -> str:
    """One hash for all questions, in order: prompts, choices, stops, lengths, sampling."""
    return digest([request.id for request in requests])


def differences(left: Any, right: Any, where: str = "") -> list[tuple[str, str, str]]:
    """Where two JSON values differ, as (name, one side, other side), each side as short JSON."""
    if isinstance(left, dict) and isinstance(right, dict):
        return [
            difference
            for key in sorted({*left, *right})
            for difference in differences(left.get(key), right.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if left == right else [(where, shorten_json(left), shorten_json(right))]


def shorten_json(value: Any, length: int = 60) -> str:
    """A value as JSON, cut to `length` characters."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= length else f"{text[: length - 1]}…"
