"""CSV: scores.csv with a row for each score, and samples.csv with a row for each sample.  All scores are in 0..1."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.csv_files import write_csv
from harness.interchange.export_results import POINTS, ExportedCell

SCORES = ("checkpoint", "run", "method", "step", "skill", "task", "metric", "value", "low", "high", "n", "unscored",
          "lower_is_better")  # fmt: skip
SAMPLES = ("checkpoint", "task", "example", "draw", "group", "score", "read_as", "why", "finish", "tokens_in", "tokens_out",
           "response")  # fmt: skip


def write(cells: Sequence[ExportedCell], folder: Path) -> list[Path]:
    """The two files, each with all cells."""
    scores = write_csv(folder / "scores.csv", SCORES, (row for cell in cells for row in score_rows(cell)))
    return [scores, write_csv(folder / "samples.csv", SAMPLES, (row for cell in cells for row in sample_rows(cell)))]


def score_rows(cell: ExportedCell) -> Iterator[list[Any]]:
    """The score of a cell, then its further metrics."""
    estimate, metrics = cell.measures
    checkpoint, task = cell.checkpoint, cell.record.task
    labels = [checkpoint.name, checkpoint.run, checkpoint.method, checkpoint.step, task.skill, cell.name]
    interval = estimate.interval
    yield [*labels, "score", estimate.score, interval.low, interval.high, estimate.n, cell.n_unscored, False]
    for metric in metrics:
        values = [value / POINTS for value in (metric.value, metric.low, metric.high)]
        yield [*labels, metric.name, *values, estimate.n, cell.n_unscored, metric.lower_is_better]


def sample_rows(cell: ExportedCell) -> Iterator[list[Any]]:
    for sample in cell.samples:
        response, score = sample.response, sample.score
        output = json.dumps(response.logprobs) if response.logprobs else response.text
        yield [
            cell.checkpoint.name, cell.name, sample.example, sample.draw, sample.group, score.value, score.extracted, score.why,
            response.finish, response.tokens_in, response.tokens_out, output,
        ]  # fmt: skip
