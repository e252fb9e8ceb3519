"""A run folder of transformers' Trainer, TRL, or the trainers here: checkpoint-N folders, the final model at the root.

Trainer writes trainer_state.json after the weights: where it exists, the weights of this step are complete.  It has the step
and the log.  training_args.bin is a pickle and is never read.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.checkpoint_folders import NEEDS_BASE, describe_model, describe_nested
from harness.folder_entries import find_entries
from harness.integrity import NO_WEIGHTS
from harness.numbered_folders import list_numbered
from harness.training_log import STATE, find_method
from harness.types import Checkpoint

ORDER = 10
FOLDER_NAME = re.compile(r"^checkpoint-(\d+)$")
UNFINISHED_NAME = re.compile(r"^tmp-checkpoint-(\d+)$")
HALF_SAVED = "it was being saved: transformers takes tmp- off the name of a folder that is whole"


def find(path: Path) -> list[Checkpoint]:
    """Every checkpoint of the run in `path`, by step, the final model last; or the one numbered checkpoint that `path` is."""
    if FOLDER_NAME.match(path.name) and (path / STATE).is_file():
        return [describe_step(path, path.parent)]
    checkpoints = [describe_step(folder, path) for _, folder in list_numbered(path, FOLDER_NAME)]
    checkpoints += [describe_unfinished(folder, path, step) for step, folder in list_numbered(path, UNFINISHED_NAME)]
    if not checkpoints:
        return []
    last = checkpoints[-1]
    inside = Path(last.path).relative_to(path).parts[1:]  # peft saves a named adapter into a folder of that name
    final = describe_model(path, path.name) or (describe_model(path.joinpath(*inside), path.name) if inside else None)
    if final:
        checkpoints.append(replace(final, run=str(path), method=final.method or find_method(path) or last.method))
    return checkpoints


def describe_unfinished(folder: Path, run: Path, step: int) -> Checkpoint:
    """What older versions of transformers save into, which a run that was killed leaves behind."""
    return Checkpoint(f"{run.name}-tmp@{step}", str(folder), "trainer", run=str(run), step=step, problem=HALF_SAVED)


def describe_step(folder: Path, run: Path) -> Checkpoint:
    """A checkpoint-N folder: ready when its weights are whole and trainer_state.json, written after them, is there."""
    number = int(folder.name.rpartition("-")[2])
    name = f"{run.name}@{number}"
    checkpoint = describe_nested(folder, name) or Checkpoint(
        name, str(folder), "trainer", problem=explain_missing_model(folder)
    )
    problem = checkpoint.problem
    if problem.startswith(NO_WEIGHTS):  # a config, and what makes a model of the shards beside it
        problem = explain_missing_model(folder) if has_shards(folder) else problem
    if (not problem or NEEDS_BASE in problem) and not (folder / "trainer_state.json").is_file():
        problem = "trainer_state.json is missing: the checkpoint is still being written, or the run was stopped while saving"
    return replace(
        checkpoint,
        producer="trainer",
        run=str(run),
        step=number,
        problem=problem,
        method=checkpoint.method or find_method(folder) or find_method(run),
    )


def has_shards(folder: Path) -> bool:
    names = ("global_step*", "pytorch_model_fsdp*", "zero_to_fp32.py")
    return any(find_entries(folder, name) for name in names)


def explain_missing_model(folder: Path) -> str:
    """Why a checkpoint folder without a model file cannot be scored."""
    if find_entries(folder, "global_step*") or (folder / "zero_to_fp32.py").exists():
        return "only DeepSpeed shards: make a model of them with the zero_to_fp32.py that lies there"
    if find_entries(folder, "pytorch_model_fsdp*"):
        return "only FSDP shards: make a model of them with `accelerate merge-weights`"
    return "neither config.json nor adapter_config.json: still being written, or no model was saved"
