"""Finds what a run logged: in its folder, in the usual folders for logs in it, and nowhere else."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from harness.folder_entries import list_entries
from harness.run_logs import tables, tensorboard, wandb

LOG_FOLDERS = re.compile(
    r"^(?:logs?|runs|tensorboard(?:_log)?|tb|wandb|offline-run-.*|run-.*|trackio|metrics|files)$", re.IGNORECASE
)
CHECKPOINT_NAME = re.compile(r"^(?:checkpoint|global_step|step|epoch|iter)[-_]?\d+", re.IGNORECASE)
HISTORY = r"(?:history|metrics|_log|^log|logs|progress|trainer_log|curves?)"
HISTORY_NAME = re.compile(HISTORY, re.I)
# Among a million files in a folder: what is_log() takes, in a folder of any name, and in one for logs.
LOG_NAME = re.compile(rf"tfevents|\.wandb$|{HISTORY}.*\.(?:jsonl?|csv|db)$", re.I)
ANY_LOG = re.compile(r"tfevents|\.(?:wandb|jsonl?|csv|db)$", re.I)
NAMES_FOR_LOGS = ("logs", "log", "metrics", "trackio")
NO_HISTORY = ("trainer_state.json", "config.json", "eval_config.json")
MAX_FILES = 300  # logs, and folders for them, that are looked at
MAX_DEPTH = 3
Entries = list[dict[str, Any]]
READERS: dict[str, Callable[[Path], Entries]] = {
    ".json": tables.read_json_history,
    ".jsonl": tables.read_json_lines,
    ".csv": tables.read_csv,
    ".db": tables.read_trackio,
}


def read_run_logs(folder: Path) -> Entries:
    """Every entry of the logs in a run's folder, in the order of their steps; [] where there is none that can be read."""
    stamp = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in list_logs(folder))
    return [dict(entry) for entry in read_all_logs(stamp)]


@lru_cache(maxsize=64)
def read_all_logs(stamp: tuple[tuple[str, int, int], ...]) -> tuple[dict[str, Any], ...]:
    """The entries of these files.  Files change while a run goes on, so that time and size are part of the question."""
    entries = [entry for path, *_ in stamp for entry in read_log_file(Path(path))]
    return tuple(sorted(entries, key=lambda entry: entry["step"]))


def read_log_file(file: Path) -> Entries:
    """The entries of one log; [] for one that is damaged or none: a run's logs are a help, and never in the way."""
    try:
        if file.match(tensorboard.PATTERN):
            return tensorboard.read_events(file)
        if file.match(wandb.PATTERN):
            return [entry for entry in wandb.read_history_records(file) if "step" in entry]
        return READERS[file.suffix.lower()](file)
    except (OSError, ValueError, RecursionError, KeyError, TypeError, sqlite3.Error):
        return []


def list_logs(folder: Path) -> list[Path]:
    """The files that may be logs in a folder and in its folders for logs."""
    return [file for file in islice(walk(folder, MAX_DEPTH), MAX_FILES) if is_log(file) and file.is_file()]


def walk(folder: Path, depth: int, is_for_logs: bool = False) -> Iterator[Path]:
    """What is called like a log in a folder, and its folders for logs with what is in them, by name.

    In a folder for logs every folder is one.
    """
    try:
        entries = list_entries(folder)
    except OSError:
        return
    folders = entries.folders if is_for_logs else entries.match(LOG_FOLDERS)
    logs = entries.match(ANY_LOG if folder.name.lower() in NAMES_FOR_LOGS else LOG_NAME)
    for child in [folder / name for name in sorted({*logs, *folders})]:
        yield child
        if depth and child.name in folders and not CHECKPOINT_NAME.match(child.name) and not child.is_symlink():
            yield from walk(child, depth - 1, is_for_logs=True)


def is_log(file: Path) -> bool:
    """Whether a file's name is that of a log."""
    if file.match(tensorboard.PATTERN) or file.match(wandb.PATTERN):
        return True
    if file.suffix.lower() not in READERS or file.name in NO_HISTORY or file.name.endswith(".index.json"):
        return False
    return bool(HISTORY_NAME.search(file.stem)) or file.parent.name.lower() in NAMES_FOR_LOGS
