"""The calibration of checkpoints on tasks that compare the log-probabilities of choices, with paired differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.statistics.calibration import (
    CalibrationDifference,
    calibration_difference,
    confidence_of,
    measure_calibration,
)

if TYPE_CHECKING:
    from harness.comparison.load import LoadedResults, StoredCell

Judgements = dict[tuple[str, int], tuple[float, float, str]]  # by example and draw: confidence, right or wrong, cluster


@dataclass(frozen=True)
class CalibrationRow:
    """One checkpoint on one task; `n` samples that have a number.  Units: 0..1."""

    task: str
    checkpoint: str
    n: int
    error: float
    confidence: float
    accuracy: float
    difference: CalibrationDifference | None = None
    pairs: int = 0

    def to_json(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("task", "checkpoint", "n", "error", "confidence", "accuracy", "pairs")}
        d = self.difference
        return own | ({"delta": d.value, "delta_low": d.interval.low, "delta_high": d.interval.high, "p": d.p} if d else {})


def read_judgements(cell: StoredCell) -> Judgements:
    """The samples with two choices or more and a score of 0 or 1: the probability of the likeliest choice, and the score.

    {} where a task gives other scores, as a share of probability, or scores something else than the right answer, as whether
    an answer holds: there is no answer that could be right.  A sample without a likeliest choice (NaN) has no number.
    """
    judgements: Judgements = {}
    for sample in cell.cell.samples():
        value, logprobs = sample.score.value, sample.response.logprobs
        if value is None or len(logprobs) < 2 or (cell.includes and not cell.includes(sample.example)):
            continue
        if value not in (0.0, 1.0) or sample.score.parts.get("right", value) != value:
            return {}
        if math.isnan(sum(logprobs)) or math.isinf(max(logprobs)):
            continue
        judgements[sample.key] = confidence_of(np.array(logprobs)), value, sample.cluster or sample.example
    return judgements


def calibrate(results: LoadedResults, task: str, level: float) -> list[CalibrationRow]:
    """The baseline and each candidate on one task; [] for a task without choices, or with other scores than 0 and 1."""
    if results.tasks[task].inputs.kind == "generate":
        return []
    before = read_judgements(results.cells[results.baseline, task])
    if not before:
        return []
    rows = [calibration_row(task, results.baseline, before, None, level)]
    for name, cell in results.candidates(task):
        if after := read_judgements(cell):
            rows.append(calibration_row(task, name, after, before, level))
    return rows


def calibration_row(task: str, name: str, own: Judgements, before: Judgements | None, level: float) -> CalibrationRow:
    """A checkpoint's row; the difference is over the samples that both sides have."""
    calibration = measure_calibration(*as_arrays(own, list(own)))
    row = (task, name, len(own), calibration.error, calibration.confidence, calibration.accuracy)
    both = [key for key in own if before and key in before]
    if not before or not both:
        return CalibrationRow(*row)
    sides = [as_arrays(side, both) for side in (before, own)]
    difference = calibration_difference(measure_calibration(*sides[0]), measure_calibration(*sides[1]), sides[0][2], level)
    return CalibrationRow(*row, difference, len(both))


def as_arrays(judgements: Judgements, keys: list[tuple[str, int]]) -> tuple[Any, Any, Any]:
    """[keys] each: confidences, whether they are right, and numbers of clusters."""
    confidence, right, cluster = zip(*(judgements[key] for key in keys), strict=True)
    return np.array(confidence), np.array(right), np.unique(cluster, return_inverse=True)[1].astype(np.int64)
