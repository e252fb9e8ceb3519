"""Logs as JSON, JSON lines, CSV and SQLite: histories of hand-written trainers, LLaMA-Factory, open-instruct, trackio."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeGuard

STEP_KEYS = (
    "step", "global_step", "global_step/max_steps", "training_step", "current_steps", "_step", "iteration", "iter", "epoch"
)  # fmt: skip
OF_ALL = re.compile(r"\d{1,15}/\d{1,15}")
MAX_BYTES = 256_000_000  # of a log


def read_json_history(file: Path) -> list[dict[str, Any]]:
    """A list of mappings, a mapping of lists, or one mapping: as entries with `step`."""
    content = json.loads(read_text(file))
    if isinstance(content, dict):
        inner = next((content[key] for key in ("log_history", "history", "logs", "metrics") if key in content), content)
        content = inner if isinstance(inner, list | dict) else content
    if isinstance(content, dict):
        columns = {key: value for key, value in content.items() if isinstance(value, list)}
        if columns:
            length = max(map(len, columns.values()))
            content = [{key: value[i] for key, value in columns.items() if i < len(value)} for i in range(length)]
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
    rows = csv.DictReader(read_text(file).splitlines())
    return number_steps(
        {key: to_number(value) for key, value in row.items() if key and value not in (None, "")} for row in rows
    )


def read_trackio(file: Path) -> list[dict[str, Any]]:
    """The metrics of a trackio database, of its last run."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
        rows = connection.execute("select run_name, step, metrics from metrics order by id").fetchall()
    last = rows[-1][0] if rows else ""
    return number_steps({**parse_object(text), "step": step} for run, step, text in rows if run == last)


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
