"""CSV: scores.csv with a row for each score, and samples.csv with a row for each sample.  All scores are in 0..1."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.exporting import POINTS, Kept

SCORES = ("checkpoint", "run", "method", "step", "skill", "task", "metric", "value", "low", "high", "n", "unscored",
          "lower_is_better")  # fmt: skip
SAMPLES = ("checkpoint", "task", "example", "draw", "group", "score", "read_as", "why", "finish", "tokens_in", "tokens_out",
           "response")  # fmt: skip
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?", re.IGNORECASE)


def write(cells: Sequence[Kept], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    scores, samples = folder / "scores.csv", folder / "samples.csv"
    table(scores, SCORES, (row for cell in cells for row in rates(cell)))
    table(samples, SAMPLES, (row for cell in cells for row in lines(cell)))
    return [scores, samples]


def table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(map(harmless, rows))


def harmless(row: Sequence[Any]) -> list[Any]:
    """What a model said is never a formula to the program that opens the table: an apostrophe makes it text."""
    return [f"'{v}" if isinstance(v, str) and FORMULA.match(v) and not NUMBER.fullmatch(v) else v for v in row]


def rates(cell: Kept) -> Iterator[list[Any]]:
    """The score of a cell, then its further metrics."""
    own, metrics = cell.measured
    who = [cell.checkpoint.get(k) for k in ("name", "run", "method", "step")] + [cell.about["task"]["skill"], cell.name]
    yield [*who, "score", own.score, own.interval.low, own.interval.high, own.n, cell.unscored, False]
    for m in metrics:
        yield [*who, m.name, *(v / POINTS for v in (m.value, m.low, m.high)), own.n, cell.unscored, m.lower_is_better]


def lines(cell: Kept) -> Iterator[list[Any]]:
    for s in cell.samples:
        said = json.dumps(s.response.logprobs) if s.response.logprobs else s.response.text
        yield [
            cell.checkpoint["name"], cell.name, s.example, s.draw, s.group, s.score.value, s.score.extracted, s.score.why,
            s.response.finish, s.response.tokens_in, s.response.tokens_out, said,
        ]  # fmt: skip
