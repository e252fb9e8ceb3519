"""Hashes of files by name and content, never by path or date; those of large files are cached."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from harness.atomic_files import write_bytes
from harness.bounded_files import MAX_JSON, UnreadableFileError
from harness.types import digest
from harness.visible_text import printable

LARGE = 1 << 26  # bytes
SETTINGS = (".json", ".txt", ".jinja", ".py", ".model")  # files that are never as large as weights


def hash_files(paths: Iterable[Path]) -> str:
    """One SHA-256 (first 16 hex digits) over the names and contents of the files that exist; "" if none does."""
    parts = [path.name.encode() + b"\0" + hash_content(path) for path in paths if path.is_file()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16] if parts else ""


def hash_content(path: Path) -> bytes:
    """SHA-256 of a file's content.  The hash of a large file is cached until the file changes."""
    status = path.stat()
    require_readable_size(path)
    if status.st_size < LARGE:
        return hash_stream(path)
    # A write changes the change time (st_ctime), which no program can set back, so that the cache never gives a stale hash.
    identity = [str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    memo = cache_folder() / digest(identity, 32)
    if memo.is_file() and len(cached_hash := memo.read_bytes()) == 32:
        return cached_hash
    content_hash = hash_stream(path)
    with suppress(OSError):  # a home that is full or read-only costs time, nothing else
        write_bytes(memo, content_hash)
    return content_hash


def require_readable_size(path: Path) -> None:
    """Raises UnreadableFileError for a file of settings or of a tokenizer that is too large to be one."""
    if path.suffix in SETTINGS and path.stat().st_size > MAX_JSON:
        raise UnreadableFileError(f"{printable(path.name)} has more than {MAX_JSON:,} bytes: it is not read")


def hash_stream(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def cache_folder() -> Path:
    """Where hashes of large files are cached."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skilldelta" / "sha256"


def content_identity(where: str) -> str:
    """What lies somewhere: the hash of a file's or a folder's content, or the name of what lies elsewhere."""
    path = Path(where)
    if where and path.is_dir():
        return hash_files(sorted(p for p in path.iterdir() if p.is_file()))
    return hash_files([path]) if where and path.is_file() else where
