"""The Hugging Face Hub: .eval_results/*.yaml for a model's repository, and the older model-index as front matter.

An entry names the data set on the Hub that a benchmark belongs to.  A task whose data set is not known has none, and stands in
the model-index alone.  Values are points of 0 to 100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from harness.exporting import POINTS, Kept
from harness.interchange.names import data_set
from harness.store import folder_name, write_bytes
from harness.types import Json


def write(cells: Sequence[Kept], folder: Path) -> list[Path]:
    """A folder for each checkpoint, to be copied into its repository."""
    paths = []
    models: dict[str, list[Kept]] = {}
    for cell in cells:
        models.setdefault(str(cell.checkpoint["name"]), []).append(cell)
    for name, mine in models.items():
        place = folder / folder_name(name)
        for cell in mine:
            if entries := entry(cell):
                paths.append(place / ".eval_results" / f"{folder_name(own(cell))}.yaml")
                write_bytes(paths[-1], dumped(entries))
        paths.append(place / "model-index.md")
        write_bytes(paths[-1], card(name, mine))
    return paths


def own(cell: Kept) -> str:
    """The task without its program."""
    return cell.name.partition(":")[2] or cell.name


def dumped(value: Any) -> bytes:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True)).encode()


def entry(cell: Kept) -> list[Json]:
    """The list of one entry, or of none."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    found = data_set(own(cell))
    if not found:
        return []
    date = cell.about.get("finished") or None
    made = EvalResultEntry(dataset_id=found, task_id=own(cell), value=points(cell), date=date, notes=notes(cell))
    return list(eval_result_entries_to_yaml([made]))


def points(cell: Kept) -> float:
    return round(POINTS * cell.measured[0].score, 2)


def notes(cell: Kept) -> str:
    """How the value came about, in one line."""
    own_score = cell.measured[0]
    interval = f"95 % interval {POINTS * own_score.interval.low:.1f} to {POINTS * own_score.interval.high:.1f}"
    made = [cell.about["task"]["source"], f"n = {own_score.n}", interval]
    if cell.unscored:
        made.append(f"{cell.unscored} without a score left out")
    return "; ".join(str(m) for m in made if m)


def card(name: str, cells: Sequence[Kept]) -> bytes:
    """A model card that is front matter alone, for huggingface_hub.metadata_update or by hand."""
    from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index

    found = []
    for cell in cells:
        said = partial(EvalResult, "text-generation", data_set(own(cell)) or own(cell), own(cell))
        found.append(said("score", points(cell), metric_name=notes(cell)))
        found += [said(m.name, round(m.value, 2)) for m in cell.measured[1] if math.isfinite(m.value)]
    index = eval_results_to_model_index(name, found)
    return b"---\n" + dumped({"model-index": index}) + b"---\n"
