"""Results of invented runs with logs of their own, for tests of what is drawn over training steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from harness.atomic_files import write_json
from harness.records import CellRecord
from harness.store import Results
from harness.training_log import FILE, Curve
from harness.types import Checkpoint
from tests.support.results_folder import about, sample

ITEMS = 120
Rates = Mapping[str, float]  # share of right answers by task


def store(
    folder: Path, name: str, rates: Rates, run: str = "", step: int | None = None, log: Mapping[str, Curve] | None = None
) -> None:
    """One checkpoint that is right on the given share of each task; each task is a skill of its own name."""
    results = Results.make(folder)
    results.add(Checkpoint(name, "", "trainer", method=run, run=f"/gone/{run}" if run else "", step=step), {"outputs": name})
    for task, rate in rates.items():
        order = np.random.default_rng(7).permutation(ITEMS)  # the same items are easy for everybody
        cell = results.cell(name, task)
        cell.write_record(CellRecord.from_json(about(task, task)))
        cell.rewrite([sample(i, float(order[i] < rate * ITEMS)) for i in range(ITEMS)])
    if log:
        write_json(folder / name / FILE, {quantity: asdict(curve) for quantity, curve in log.items()})


def curve(key: str, values: Sequence[float], every: int = 10) -> Curve:
    return Curve(key, tuple(every * (i + 1) for i in range(len(values))), tuple(values))
