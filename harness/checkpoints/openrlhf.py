"""A run of OpenRLHF: global_stepN_hf folders (and best_global_stepN) next to DeepSpeed states; the final model at the root.

The states of policy and value model (_actor, _critic, global_stepN) are DeepSpeed's: shards for resuming, no model to load.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.checkpoint_folders import describe_model
from harness.numbered_folders import list_numbered
from harness.types import Checkpoint

ORDER = 12
FOLDER_NAME = re.compile(r"^(?:best_)?global_step(\d+)(?:_hf)?$")
SHARDS = "DeepSpeed shards only: train with --ckpt.save_hf, or make a model of them with the zero_to_fp32.py that lies there"


def find(path: Path) -> list[Checkpoint]:
    """Every saved model by step, the final one last; where only training states were saved, these, with the way to a model."""
    if FOLDER_NAME.match(path.name) and (path / "config.json").is_file():
        return [describe_saved(path, path.parent)]
    checkpoints = [describe_saved(folder, path) for _, folder in list_numbered(path, FOLDER_NAME)]
    if not checkpoints and (path / "_actor").is_dir():
        checkpoints = [describe_states(folder, path, step) for step, folder in list_numbered(path / "_actor", FOLDER_NAME)]
    if checkpoints and (final := describe_model(path, path.name)):
        checkpoints.append(replace(final, producer="openrlhf", run=str(path)))
    return checkpoints


def describe_saved(folder: Path, run: Path) -> Checkpoint:
    """A folder that save_hf wrote."""
    match = FOLDER_NAME.match(folder.name)
    number = int(match.group(1)) if match else None
    best = "-best" if folder.name.startswith("best_") else ""
    name = f"{run.name}{best}@{number}"
    checkpoint = describe_model(folder, name) or Checkpoint(name, str(folder), "openrlhf", problem=SHARDS)
    return replace(checkpoint, producer="openrlhf", run=str(run), step=number)


def describe_states(folder: Path, run: Path, step: int) -> Checkpoint:
    return Checkpoint(f"{run.name}@{step}", str(folder), "openrlhf", run=str(run), step=step, problem=SHARDS)
