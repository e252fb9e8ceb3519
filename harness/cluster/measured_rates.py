"""How long cells took: seconds a question, by task, from the results of earlier runs; nothing is guessed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.hub_cache import snapshot_folder, split_revision
from harness.integrity import ADAPTER, weight_files

if TYPE_CHECKING:
    from harness.records import CellRecord, CheckpointRecord
    from harness.store import Results
    from harness.types import Checkpoint

SAME_SIZE = 1.25  # models whose weights differ by no larger factor cost the same


@dataclass(frozen=True)
class Measurement:
    """A finished cell: how long it took, with what it asked, of a model of `size` bytes (0: not known)."""

    task: str
    seconds: float
    questions: int
    size: int
    device: str


@dataclass(frozen=True)
class CostEstimate:
    """Seconds of a cell, and what they rest on.  None: nothing like it was measured."""

    seconds: float | None
    basis: str


NOT_MEASURED = CostEstimate(None, "not measured")


class MeasuredRates:
    """The cells that were measured, by task."""

    def __init__(self, measurements: Iterable[Measurement]) -> None:
        self.by_task: dict[str, list[Measurement]] = {}
        for each in measurements:
            self.by_task.setdefault(each.task, []).append(each)

    def estimate(self, task: str, questions: int, size: int) -> CostEstimate:
        """The median of cells on models of this size; else of the nearest size, in proportion to the bytes of the weights.

        The time of a cell holds the load of its model where it was the first one of its checkpoint.
        """
        cells = [cell for cell in self.by_task.get(task, []) if cell.questions]
        if not cells:
            return NOT_MEASURED
        alike = [cell for cell in cells if not size or not cell.size or 1 / SAME_SIZE <= cell.size / size <= SAME_SIZE]
        device = ", ".join(sorted({cell.device for cell in alike or cells if cell.device}))
        if alike:
            rate = statistics.median(cell.seconds / cell.questions for cell in alike)
            return CostEstimate(rate * questions, f"{len(alike)} cell{'s' * (len(alike) != 1)}, {device}")
        nearest = min(cells, key=lambda cell: max(cell.size / size, size / cell.size))
        factor = size / nearest.size
        seconds = factor * questions * nearest.seconds / nearest.questions
        return CostEstimate(seconds, f"a model {1 / factor:.2g} times as large, in proportion, {device}")


def read_measurements(folders: Iterable[Results]) -> list[Measurement]:
    """The finished cells of results folders; cells whose answers were taken from others have no time of their own."""
    measurements = []
    for results in folders:
        sizes = {name: weights_size(record) for name, record in results.checkpoints().items()}
        for name, record, _ in results.cells():
            if record.state == "done" and record.seconds > 0 and not record.note.startswith("the answers of"):
                measurements.append(measure_cell(record, sizes[name]))
    return measurements


def measure_cell(record: CellRecord, size: int) -> Measurement:
    """A finished cell's cost: of all its answers, or of those that its last run asked."""
    seconds, answers = record.cost.get("seconds"), record.cost.get("answers")
    device = str(record.backend.get("device", ""))
    if isinstance(seconds, int | float) and isinstance(answers, int):
        return Measurement(record.task.name, float(seconds), answers, size, device)
    return Measurement(record.task.name, record.seconds, record.inputs.examples * record.inputs.draws, size, device)


def weights_size(checkpoint: Checkpoint | CheckpointRecord) -> int:
    """Bytes of a checkpoint's weights as they are saved, with its base and adapters; 0 where they are not on this machine."""
    whole = local_folder(checkpoint.base or checkpoint.path)
    if whole is None:
        return 0
    adapters = dict.fromkeys((*checkpoint.adapters, checkpoint.path)) if checkpoint.base else ()
    try:
        files = [whole] if whole.is_file() else [*weight_files(whole)]
        files += [file for folder in adapters for file in weight_files(Path(folder), ADAPTER)]
        return sum(file.stat().st_size for file in files)
    except (ValueError, OSError):  # an index that names what is not there: the run itself says so
        return 0


def local_folder(place: str) -> Path | None:
    """Where a model lies on this machine: its own folder or file, or the Hub's cache."""
    if place and Path(place).exists():
        return Path(place)
    return snapshot_folder(*split_revision(place)) if place else None
