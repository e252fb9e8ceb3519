"""The curves that a run's trainer logged (reward, KL, loss, length ...), under the same names for every trainer.

Trainer, TRL and the trainers here keep it in trainer_state.json, as `log_history`.  A small copy is stored with the results
when a checkpoint is scored, so that its curves can be shown when the checkpoint is gone.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.atomic_files import folder_name, write_json
from harness.integrity import read_json
from harness.records import CheckpointRecord
from harness.store import Results
from harness.types import Checkpoint, Json

STATE = "trainer_state.json"
FILE = "training.json"  # in a checkpoint's folder of the results
MAX_POINTS = 200  # points of a stored curve

# The keys of each quantity, of which the first in a log counts (transformers, TRL 0.12 to 1.16, the trainers here).
KEYS: dict[str, tuple[str, ...]] = {
    "reward": ("objective/scores", "reward", "objective/rlhf_reward"),
    "reward margin": ("rewards/margins",),
    "KL": ("objective/kl", "kl"),
    "length": ("val/length", "completions/mean_length", "completion_length"),
    "loss": ("loss", "loss/policy_avg", "train/loss"),
    "entropy": ("policy/entropy_avg", "entropy"),
}
# What training had cost up to a step: for PPO here, with what its reward model cost.
COSTS: dict[str, tuple[str, ...]] = {
    "FLOPs": ("total_flos_with_reward_model", "total_flos"),
    "seconds": ("seconds_with_reward_model", "seconds", "train_runtime"),
}


@dataclass(frozen=True)
class Curve:
    """One quantity over a run.  `key`: what its trainer calls it; `steps` ascend."""

    key: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    def at(self, step: int) -> float | None:
        """The last value logged up to `step`; None where nothing was yet."""
        place = bisect_right(self.steps, step)
        return self.values[place - 1] if place else None


Curves = Mapping[str, Curve]  # by quantity


def parse_curves(history: Sequence[Json]) -> dict[str, Curve]:
    """The quantities in a `log_history`, each thinned to MAX_POINTS points."""
    curves_by_quantity = {}
    for quantity, keys in (KEYS | COSTS).items():
        key = next((k for k in keys if any(is_number(entry.get(k)) for entry in history)), None)
        if key and (points := {int(e["step"]): float(e[key]) for e in history if is_number(e.get(key)) and "step" in e}):
            curves_by_quantity[quantity] = thin_curve(key, points)
    return curves_by_quantity


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def thin_curve(key: str, points: Mapping[int, float]) -> Curve:
    """Points by step, evenly thinned; the first and the last stay."""
    steps = sorted(points)
    if len(steps) > MAX_POINTS:
        steps = [steps[round(i * (len(steps) - 1) / (MAX_POINTS - 1))] for i in range(MAX_POINTS)]
    return Curve(key, tuple(steps), tuple(float(f"{points[s]:.6g}") for s in steps))


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The log in a folder's trainer_state.json: one mapping per logged step; [] where it is missing or unreadable."""
    try:
        state = read_json(folder / STATE)
    except ValueError:
        return []
    log = state.get("log_history", [])
    entries = [entry for entry in log if isinstance(entry, dict)] if isinstance(log, list) else []
    # transformers' Trainer has them next to its log, not in it.
    step, flops = state.get("global_step"), state.get("total_flos", 0)
    if entries and isinstance(step, int) and is_number(flops) and flops > 0 and not any("total_flos" in e for e in entries):
        entries.append({"step": step, "total_flos": flops})
    return entries


def read_curves(path: str, run: str) -> dict[str, Curve]:
    """The curves up to the checkpoint at `path`; of a run's final model without a log, those of its last checkpoint."""
    if not path or not Path(path).is_dir():
        return {}
    if entries := read_history(Path(path)):
        return parse_curves(entries)
    checkpoints = Path(run).glob("checkpoint-*") if path == run else ()
    latest = max((p for p in checkpoints if (p / STATE).is_file()), key=lambda p: int(p.name.rpartition("-")[2]), default=None)
    return parse_curves(read_history(latest)) if latest else {}


def store_curves(results: Results, checkpoint: Checkpoint) -> None:
    """Stores a checkpoint's curves with its results, where it has any and they are not there already."""
    target = results.folder / folder_name(checkpoint.name) / FILE
    if not target.exists() and (curves_by_quantity := read_curves(checkpoint.path, checkpoint.run)):
        write_json(target, {quantity: asdict(curve) for quantity, curve in curves_by_quantity.items()})


def stored_curves(record: CheckpointRecord) -> dict[str, Curve]:
    """A scored checkpoint's curves: as stored with its results, else from the folder where it was when it was scored."""
    path = Path(record.results) / folder_name(record.name) / FILE
    if not path.is_file():
        return read_curves(record.path, record.run)
    content = read_json(path)
    return {q: Curve(c["key"], tuple(c["steps"]), tuple(c["values"])) for q, c in content.items()}
