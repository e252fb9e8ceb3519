"""Logs as JSON, JSON lines, CSV and SQLite: histories of hand-written trainers, LLaMA-Factory, open-instruct, trackio."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeGuard

STEP_KEYS = (
    "step", "global_step", "global_step/max_steps", "training_step", "current_steps", "_step", "iteration", "iter", "epoch"
)  # fmt: skip
OF_ALL = re.compile(r"\d{1,15}/\d{1,15}")
MAX_BYTES = 256_000_000  # of a log
MAX_CELL, ROW_SIZE = 1_000_000, 100  # bytes: of the longest value in a database, and of a row beside its texts
STEPS, MAX_STEPS = 10_000, 100_000_000  # instructions of SQLite's between two looks at how many there were, and of all


def read_json_history(file: Path) -> list[dict[str, Any]]:
    """A list of mappings, a mapping of lists, or one mapping: as entries with `step`."""
    content = json.loads(read_text(file))
    if isinstance(content, dict):
        inner = next((content[key] for key in ("log_history", "history", "logs", "metrics") if key in content), content)
        content = inner if isinstance(inner, list | dict) else content
    if isinstance(content, dict):
        columns = {key: value for key, value in content.items() if isinstance(value, list)}
        if columns:
            content = [{} for _ in range(max(map(len, columns.values())))]
            for key, values in columns.items():
                for entry, value in zip(content, values, strict=False):
                    entry[key] = value
        else:
            content = [content]
    return number_steps(entry for entry in content if isinstance(entry, dict)) if isinstance(content, list) else []


def read_json_lines(file: Path) -> list[dict[str, Any]]:
    """A mapping a line; a torn line is passed over."""
    entries: list[Mapping[str, Any]] = []
    for line in read_text(file).splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            data = entry.get("data")  # verl's file logger: {"step": 1, "data": {...}}
            entries.append({"step": entry.get("step"), **data} if isinstance(data, dict) else entry)
    return number_steps(entries)


def read_csv(file: Path) -> list[dict[str, Any]]:
    """A row a step; what is no number stays text."""
    rows = csv.reader(read_text(file).splitlines())
    header = next(rows, [])
    return number_steps(
        {key: to_number(value) for key, value in zip(header, row, strict=False) if key and value} for row in rows if row
    )


def read_trackio(file: Path) -> list[dict[str, Any]]:
    """The metrics of a trackio database, of its last run.

    sqlite3.Error where reading them takes more work than a log does: a view or a column can compute without end.
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL)
        connection.execute("pragma trusted_schema = off")
        steps_left = iter(range(MAX_STEPS // STEPS))
        connection.set_progress_handler(lambda: next(steps_left, None) is None, STEPS)
        rows = sorted(bounded_rows(connection.execute("select id, run_name, step, metrics from metrics")))
    last = rows[-1][1] if rows else ""
    return number_steps({**parse_object(text), "step": step} for _, run, step, text in rows if run == last)


def bounded_rows(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The same rows.  ValueError where they are longer than a log: a few bytes of a database can stand for any number."""
    size = 0
    for row in rows:
        size += ROW_SIZE + sum(len(value) for value in row if isinstance(value, str | bytes))
        if size > MAX_BYTES:
            raise ValueError(f"its rows have more than {MAX_BYTES:,} bytes")
        yield row


def parse_object(text: Any) -> dict[str, Any]:
    content = json.loads(text)
    return content if isinstance(content, dict) else {}


def read_text(file: Path) -> str:
    """The text of a log.  ValueError for one that is too long to be one."""
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file.name} has more than {MAX_BYTES:,} bytes")
    return file.read_text(encoding="utf-8", errors="replace")


def to_number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def plain_step(value: object) -> object:
    """ms-swift's "10/100" as 10."""
    return int(value.partition("/")[0]) if isinstance(value, str) and OF_ALL.fullmatch(value) else value


def number_steps(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries with a whole number as `step`: by the first of STEP_KEYS that they have, else their place from 1."""
    rows = []
    for place, entry in enumerate(entries, start=1):
        steps = (plain_step(entry.get(key)) for key in STEP_KEYS)
        step = next((value for value in steps if is_count(value)), place)
        rows.append({**entry, "step": int(step)})
    return rows


def is_count(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
