"""A run of open-instruct: step_N and epoch_N folders (models, or accelerate's states), the final model at the root."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.checkpoint_folders import describe_model, describe_nested
from harness.folder_entries import list_entries
from harness.numbered_folders import list_numbered
from harness.types import Checkpoint

ORDER = 13
FOLDER_NAME = re.compile(r"^(?:step|epoch)_(\d+)$")
STATE = (
    "a state of accelerate, for resuming only: score the final model of the run, or copy config.json and the tokenizer's files "
    "beside model.safetensors, where that is there"
)
SUFFIX = "_checkpoints"  # GRPO and PPO put them into OUTPUT_checkpoints


def find(path: Path) -> list[Checkpoint]:
    """Every numbered folder in its order, the final model last; or the one that `path` is."""
    if FOLDER_NAME.match(path.name) and (path / "config.json").is_file():
        return [describe_numbered(path, path.parent)]
    checkpoints = [describe_numbered(folder, path) for _, folder in list_numbered(path, FOLDER_NAME) if has_files(folder)]
    if checkpoints and (final := describe_model(path, path.name)):
        checkpoints.append(replace(final, producer="open_instruct", run=str(path)))
    return checkpoints


def has_files(folder: Path) -> bool:
    """False for a folder of folders alone: other programs keep adapters in epoch_N/NAME, which are no state."""
    return any((folder / name).is_file() for name in list_entries(folder).files)


def describe_numbered(folder: Path, run: Path) -> Checkpoint:
    """A step_N or epoch_N folder.  An epoch is no step, and stands in the name alone."""
    kind, _, number = folder.name.partition("_")
    label = number if kind == "step" else f"epoch{number}"
    name = f"{run.name.removesuffix(SUFFIX)}@{label}"
    checkpoint = describe_nested(folder, name) or Checkpoint(name, str(folder), "open_instruct", problem=STATE)
    return replace(checkpoint, producer="open_instruct", run=str(run), step=int(number) if kind == "step" else None)
