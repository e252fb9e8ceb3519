"""What statistics need of a cell's samples, as columns: two million lines fit in memory, and are read in one pass."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.statistics.estimate import Floats
from harness.store import Cell

Key = tuple[str, int]  # example, draw


@dataclass(frozen=True)
class Columns:
    """One cell: a row for each (example, draw), in the order of the file."""

    keys: list[Key]
    score: Floats  # NaN: unscored
    group: list[str]
    cluster: list[str]  # what is not independent carries one name
    parts: Mapping[str, Floats]  # NaN: the sample lacks this part
    tokens: Floats  # tokens of the response
    health: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)  # why there is no score, with how often


def read(cell: Cell, part: Callable[[str], bool] | None = None) -> Columns:
    """A cell's samples, or those of a part of the examples.  Of several lines for one example and draw, the last counts."""
    lines = {(v["example"], v["draw"]): v for v in values(cell) if part is None or part(v["example"])}
    return columns(lines)


def values(cell: Cell) -> list[dict[str, Any]]:
    """The lines as JSON; a damaged file is told by the store, which names the line."""
    whole = cell.samples_file.read_bytes() if cell.samples_file.exists() else b""
    lines = whole.split(b"\n")[:-1]  # what follows the last newline is a torn line
    try:
        # Read as one array: half the time of reading two million lines one by one.
        found: list[dict[str, Any]] = json.loads(b"[" + b",".join(lines) + b"]")
        if len(found) == len(lines):
            return found
    except ValueError:
        list(cell.samples())  # raises, and says where
        raise
    return [json.loads(line) for line in lines]  # broken lines that happen to fit together: raises for the first


def columns(lines: Mapping[Key, dict[str, Any]]) -> Columns:
    everything = list(lines.values())
    names = sorted({name for v in everything if "parts" in v for name in v["parts"]})
    return Columns(
        keys=list(lines),
        score=numbers([v["score"] for v in everything]),
        group=[v.get("group", "") for v in everything],
        cluster=[v.get("cluster") or v["example"] for v in everything],
        parts={name: numbers(v.get("parts", {}).get(name) for v in everything) for name in names},
        tokens=numbers([v["tokens_out"] for v in everything]),
        health=health(everything),
        reasons=Counter(v.get("why", "") for v in everything if v["score"] is None),
    )


def numbers(found: Iterable[float | None]) -> Floats:
    return np.array(list(found), np.float64)  # None becomes NaN


def health(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many responses were cut at the length limit, empty, not asked (over-long), failed, unreadable, refusing, unscored."""
    ends = Counter([v["finish"] for v in lines])
    words = [v for v in lines if isinstance(v["response"], str) and v["finish"] in ("stop", "length")]
    silent = sum(v["response"].isspace() or not v["response"] for v in words)
    return {
        "truncated": ends["length"],
        "overlong": ends["overlong"],
        "failed": ends["error"],
        "empty": silent,
        "unreadable": sum(bool(v["response"].strip()) for v in words if not v["read_as"]),
        "refused": sum(v["parts"].get("refused", 0) > 0 for v in lines if "parts" in v),
        "unscored": [v["score"] for v in lines].count(None),
    }
