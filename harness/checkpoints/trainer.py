"""A run folder of transformers' Trainer, TRL, or the trainers here: checkpoint-N folders, the final model at the root.

Trainer writes trainer_state.json after the weights: where it exists, the weights of this step are complete.  It has the step
and the log.  A loop that somebody wrote saves models into such folders without it.  training_args.bin is a pickle and is never
read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from harness.checkpoint_folders import NEEDS_BASE, OTHER_MODEL, describe_adapter, describe_model, describe_nested
from harness.folder_entries import find_entries, list_entries
from harness.integrity import ADAPTER_CONFIG, NO_WEIGHTS
from harness.numbered_folders import list_numbered
from harness.training_log import STATE, find_method
from harness.types import Checkpoint

ORDER = 10
FOLDER_NAME = re.compile(r"^checkpoint-(\d+)$")
UNFINISHED_NAME = re.compile(r"^tmp-checkpoint-(\d+)$")
NO_STATE = (
    f"{STATE} is missing: the checkpoint is still being written, or the run was stopped while saving; where it is known to be "
    "whole, name the folder itself"
)
HALF_SAVED = "it was being saved: transformers takes tmp- off the name of a folder that is whole"


def find(path: Path) -> list[Checkpoint]:
    """Every checkpoint of the run in `path`, by step, the final model last; or the one numbered checkpoint that `path` is."""
    if FOLDER_NAME.match(path.name) and (path / STATE).is_file():
        return describe_step(path, path.parent, True)
    folders = [folder for _, folder in list_numbered(path, FOLDER_NAME)]
    steps = [describe_step(folder, path, writes_states(folders)) for folder in folders]
    unfinished = [describe_unfinished(folder, path, step) for step, folder in list_numbered(path, UNFINISHED_NAME)]
    checkpoints = [*chain.from_iterable(steps), *unfinished]
    if not checkpoints:
        return []
    last = unfinished[-1] if unfinished else steps[-1][0]
    inside = Path(last.path).relative_to(path).parts[1:]  # peft saves a named adapter into a folder of that name
    final = describe_model(path, path.name) or (describe_model(path.joinpath(*inside), path.name) if inside else None)
    if final:
        checkpoints.append(replace(final, run=str(path), method=final.method or find_method(path) or last.method))
    return checkpoints


def describe_unfinished(folder: Path, run: Path, step: int) -> Checkpoint:
    """What older versions of transformers save into, which a run that was killed leaves behind."""
    return Checkpoint(f"{run.name}-tmp@{step}", str(folder), "trainer", run=str(run), step=step, problem=HALF_SAVED)


def writes_states(folders: Sequence[Path]) -> bool:
    """Whether numbered folders are Trainer's.  The first one that it writes has no state yet, but its arguments."""
    if any((folder / STATE).is_file() for folder in folders):
        return True
    return len(folders) == 1 and (folders[0] / "training_args.bin").is_file()


def describe_step(folder: Path, run: Path, is_trainers: bool) -> list[Checkpoint]:
    """A checkpoint-N folder, and further adapters in it: ready when the weights are whole.

    In a run that is Trainer's, trainer_state.json, which is written after the weights, has to be there too.
    """
    number = int(folder.name.rpartition("-")[2])
    name = f"{run.name}@{number}"
    model = describe_nested(folder, name)
    checkpoint = model or Checkpoint(name, str(folder), "trainer", problem=explain_missing_model(folder))
    return [
        replace(
            each,
            producer="trainer",
            run=str(run),
            step=number,
            problem=explain_step(each, folder, is_trainers),
            method=each.method or find_method(folder) or find_method(run),
        )
        for each in (checkpoint, *describe_further_adapters(checkpoint, folder))
    ]


def explain_step(checkpoint: Checkpoint, folder: Path, is_trainers: bool) -> str:
    """Why a model in a checkpoint-N folder cannot be scored; "" where it can."""
    problem = checkpoint.problem
    if problem.startswith(NO_WEIGHTS):  # a config, and what makes a model of the shards beside it
        problem = explain_missing_model(folder) if has_shards(folder) else problem
    if is_trainers and (not problem or NEEDS_BASE in problem) and not (folder / STATE).is_file():
        return NO_STATE
    return problem


def describe_further_adapters(checkpoint: Checkpoint, folder: Path) -> list[Checkpoint]:
    """The adapters of a step beside its first: peft saves each that has a name into a folder of that name."""
    if not (Path(checkpoint.path) / ADAPTER_CONFIG).is_file():
        return []
    children = [folder / name for name in list_entries(folder).folders if not OTHER_MODEL.search(name)]
    adapters = [child for child in children if (child / ADAPTER_CONFIG).is_file() and not child.is_symlink()]
    return [describe_adapter(child, f"{checkpoint.name}-{child.name}") for child in adapters if str(child) != checkpoint.path]


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
