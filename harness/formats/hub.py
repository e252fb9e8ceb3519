"""The Hugging Face Hub: .eval_results/*.yaml for a model's repository, and the older model-index as front matter.

An entry names the data set on the Hub that a benchmark belongs to.  A task of no known data set stands in the model-index
alone.  Values are points of 0 to 100.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from harness.atomic_files import folder_name, write_bytes
from harness.interchange.benchmarks import find_hub_dataset
from harness.interchange.export_results import POINTS, ExportedCell, group_by_checkpoint
from harness.visible_text import printable

LOG = logging.getLogger("skilldelta")


def write(cells: Sequence[ExportedCell], folder: Path) -> list[Path]:
    """A folder for each checkpoint, to be copied into its repository."""
    paths = []
    for name, of_checkpoint in group_by_checkpoint(cells).items():
        own_cells = [cell for cell in of_checkpoint if cell.measures[0].n]
        if silent := [cell.name for cell in of_checkpoint if not cell.measures[0].n]:
            names = printable(", ".join(silent))
            LOG.warning("%s: no sample of %s has a score, so that there is nothing to publish.", printable(name), names)
        if not own_cells:
            continue
        place = folder / folder_name(name)
        for cell in own_cells:
            if dataset := find_hub_dataset(task_id(cell)):
                paths.append(place / ".eval_results" / f"{folder_name(task_id(cell))}.yaml")
                write_bytes(paths[-1], make_entry(cell, dataset))
        paths.append(place / "model-index.md")
        write_bytes(paths[-1], make_model_index(name, own_cells))
    return paths


def task_id(cell: ExportedCell) -> str:
    """The task's name without its program (lm-eval:NAME is NAME)."""
    return cell.name.partition(":")[2] or cell.name


def dump_yaml(value: Any) -> bytes:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True)).encode()


def make_entry(cell: ExportedCell, dataset: str) -> bytes:
    """A file of .eval_results with one entry."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    date = cell.record.finished or None
    entry = EvalResultEntry(
        dataset_id=dataset, task_id=task_id(cell), value=points(cell), date=date, notes=describe_value(cell)
    )
    return dump_yaml(list(eval_result_entries_to_yaml([entry])))


def points(cell: ExportedCell) -> float:
    return round(POINTS * cell.measures[0].score, 2)


def describe_value(cell: ExportedCell) -> str:
    """How the value came about, in one line."""
    estimate = cell.measures[0]
    interval = f"95 % interval {POINTS * estimate.interval.low:.1f} to {POINTS * estimate.interval.high:.1f}"
    left_out = f"{cell.n_unscored} without a score left out" if cell.n_unscored else ""
    return "; ".join(text for text in (cell.record.task.source, f"n = {estimate.n}", interval, left_out) if text)


def make_model_index(name: str, cells: Sequence[ExportedCell]) -> bytes:
    """A model card that is front matter alone, for huggingface_hub.metadata_update or by hand."""
    from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index

    results = []
    for cell in cells:
        dataset = find_hub_dataset(task_id(cell)) or task_id(cell)
        result = partial(EvalResult, "text-generation", dataset, task_id(cell))
        results.append(result("score", points(cell), metric_name=describe_value(cell)))
        results += [result(m.name, round(m.value, 2)) for m in cell.measures[1] if math.isfinite(m.value)]
    return b"---\n" + dump_yaml({"model-index": eval_results_to_model_index(name, results)}) + b"---\n"
