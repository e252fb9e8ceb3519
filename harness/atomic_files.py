"""Files and folders that are written whole or not at all: a reader never sees half of one, whatever ends the writer."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from harness.file_locks import LOCK_FILE, FolderLock, is_named, lock_folder
from harness.system_errors import explain_system_error
from harness.types import SkilldeltaError
from harness.visible_text import printable, replace_surrogates, show_controls

DRAFT, FORMER = ".writing-", "former"
FILES_DRAFT = re.compile(re.escape(DRAFT) + r"[a-z0-9_]{8}")  # as tempfile names them
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)  # a rename to the name of another folder, or of a file
MAX_NAME, LONG_START = 255, 200  # bytes of a file's name; those that a longer one keeps
ABANDONED = 24 * 3600.0  # seconds without a change


def folder_name(name: str) -> str:
    """A checkpoint's or task's name as the name of a folder, never a path: anything unusual percent-encoded.

    Encoded, 29 Chinese letters are longer than a file system allows: a longer name keeps its start, and a hash of the whole.
    SkilldeltaError for a name that no UTF-8 holds: a damaged file's, or a folder's whose bytes are no text.
    """
    if replace_surrogates(name) != name:
        raise SkilldeltaError(
            f"{printable(name)[:80]!r} cannot be a name: it holds what is no text in UTF-8.  Name it otherwise."
        )
    folder = quote(name, safe="@+=, -_.~:()") if name.strip(".") else name.replace(".", "%2E")
    if len(folder) <= MAX_NAME:
        return folder
    start = re.sub("%[0-9A-F]?$", "", folder[:LONG_START])
    return f"{start}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all: a reader never sees half of it."""
    write_bytes(path, encode_json(value))


def encode_json(value: Any) -> bytes:
    return (show_controls(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)) + "\n").encode()


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as half:
        half.write_bytes(content)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write under another name, renamed to `path` at the end; where that fails, nothing of it is left."""
    # Containers that share a folder may have the same process ids: the name is drawn.
    half = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with named_errors(half, path):
            yield half
            half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


@contextmanager
def named_errors(draft: Path, target: Path) -> Iterator[None]:
    """A refusal of the system names the file or folder that the user knows; for a full disk it names none.

    SkilldeltaError where a library says in its own way that the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(draft)):
            error.filename = str(target)
        raise
    except Exception as error:
        if reason := explain_system_error(error, target):
            raise SkilldeltaError(reason) from error
        raise


@contextmanager
def whole_stream(path: Path) -> Iterator[BinaryIO]:
    """As `whole_file`, opened; it is on the disk before it has its name, so that no loss of power empties it."""
    with whole_file(path) as half, half.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def remove_halves(path: Path) -> None:
    """Removes what killed writers of a file left.  Only for the holder of the lock that every writer of it takes."""
    for half in path.parent.glob(f".{glob.escape(path.name)}.*"):
        half.unlink(missing_ok=True)


@contextmanager
def sole_writer(*files: Path) -> Iterator[None]:
    """Files of one folder, to this process alone; the folder is made, and what killed writers of them left is removed."""
    files[0].parent.mkdir(parents=True, exist_ok=True)
    with lock_folder(files[0].parent):
        for file in files:
            remove_halves(file)
        yield


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """A folder to write into, whose files come to `folder` one by one, each whole, once all of them are written."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with lock_folder(folder):
            draft = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=DRAFT, dir=folder)))
            stack.callback(FolderLock(draft).release)
            stack.enter_context(named_errors(draft, folder))
            remove_drafts(folder, draft)
        yield draft
        with lock_folder(folder):
            for file in sorted(p for p in draft.rglob("*") if p.is_file() and p != draft / LOCK_FILE):
                target = folder / file.relative_to(draft)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A folder to write into elsewhere, renamed to `target` when it is complete; where that fails, nothing is left.

    It lies in a folder of this writer's own next to `target`, locked until the end: of several writers at once, the last one's
    folder stays, whole.  A folder that was there is kept in there too until then, and has its own name again where the second
    rename fails.  What killed writers left is put right by the next one of the same folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with named_errors(target.with_name(f"{DRAFT}{target.name}"), target), ExitStack() as stack:
        own = make_locked_folder(target, stack)
        finish_killed_writers(target, own)
        draft, former = own / target.name, own / FORMER
        draft.mkdir()
        yield draft
        while True:
            with suppress(FileNotFoundError):
                target.replace(former)
            try:
                draft.replace(target)
                return
            except OSError as error:
                if error.errno not in TAKEN:
                    restore_folder(former, target)
                    raise
            shutil.rmtree(former, ignore_errors=True)  # another writer's folder has come since: it is the former one now


def make_locked_folder(target: Path, stack: ExitStack) -> Path:
    """A new folder next to `target`, locked until the stack closes, which removes it."""
    while True:
        folder = target.with_name(f"{DRAFT}{target.name}.{os.urandom(4).hex()}")
        folder.mkdir()
        try:
            lock = FolderLock(folder)
        except (FileNotFoundError, BlockingIOError):
            continue  # who clears up after killed writers saw it before it was locked
        stack.callback(lock.release)
        if is_named(lock.descriptor, lock.file):
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            return folder


def finish_killed_writers(target: Path, own: Path) -> None:
    """Gives `target` back what a writer that was killed between its renames took away, and removes what such writers left."""
    drafts = re.compile(
        re.escape(f"{DRAFT}{target.name}") + r"(\.[0-9a-f]{8}|\.former)?"
    )  # without an end: of earlier versions
    for folder in [place for place in target.parent.iterdir() if drafts.fullmatch(place.name) and place != own]:
        with lock_abandoned(folder, own) as is_abandoned:
            if is_abandoned:
                restore_folder(folder if folder.suffix == f".{FORMER}" else folder / FORMER, target)
                shutil.rmtree(folder, ignore_errors=True)


def restore_folder(former: Path, target: Path) -> None:
    """Gives a folder its name back, unless another one has it by now."""
    try:
        former.replace(target)
    except OSError as error:
        if error.errno not in (*TAKEN, errno.ENOENT):
            raise


@contextmanager
def lock_abandoned(draft: Path, own: Path) -> Iterator[bool]:
    """Whether a draft's writer has ended, with the draft locked.

    Where the file system knows no locks: whether nothing in it was written for a day before `own` was made, by the file
    system's own clock.
    """
    try:
        lock = FolderLock(draft)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):  # at work, or gone
        yield False
        return
    try:
        is_old = lock.keeps_others_out or own.lstat().st_mtime - last_change(draft) > ABANDONED
        yield is_old and is_named(lock.descriptor, lock.file)
    finally:
        lock.release()


def last_change(folder: Path) -> float:
    """When anything in a folder was last written, in seconds of the epoch; infinite where somebody removes files of it."""
    try:
        return max(file.lstat().st_mtime for file in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return math.inf


def link_file(source: Path, target: Path) -> None:
    """A second name for a file; a copy where the target is on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove_drafts(folder: Path, own: Path) -> None:
    """Removes drafts of `whole_files` whose writers were killed: nobody holds their locks."""
    for draft in [place for place in folder.iterdir() if FILES_DRAFT.fullmatch(place.name) and place != own]:
        with lock_abandoned(draft, own) as is_abandoned:
            if is_abandoned:
                shutil.rmtree(draft)
