"""A run of NeMo-RL: step_N/policy with weights (shards, or a model in consolidated/) and a tokenizer in a folder beside them.

It saves into tmp_step_N, and takes the tmp_ off when all is there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.checkpoint_folders import describe_model
from harness.folder_entries import find_entries
from harness.numbered_folders import list_numbered
from harness.tokenizer_folders import has_tokenizer
from harness.types import Checkpoint

ORDER = 9  # before open-instruct's, whose names are alike
FOLDER_NAME = re.compile(r"^(?:tmp_)?step_(\d+)$")
MODEL_FOLDERS = ("policy/weights/model/consolidated", "policy/weights/consolidated", "policy/weights")
CONVERT = (
    "a checkpoint of NeMo-RL: `uv run examples/converters/{script} --config={folder}/config.yaml --hf-ckpt-path=FOLDER "
    "--{option}-ckpt-path={weights}` makes a model of it"
)
HALF_SAVED = "it was being saved: NeMo-RL takes tmp_ off the name of a folder that is whole"


def find(path: Path) -> list[Checkpoint]:
    """Every step of the run in `path` in its order, or the one that `path` is."""
    if FOLDER_NAME.match(path.name) and (path / "policy" / "weights").is_dir():
        return [describe_policy_step(path, path.parent)]
    steps = (folder for _, folder in list_numbered(path, FOLDER_NAME))
    return [describe_policy_step(folder, path) for folder in steps if (folder / "policy" / "weights").is_dir()]


def describe_policy_step(folder: Path, run: Path) -> Checkpoint:
    """A step_N folder: the model that lies in it, or the command that makes one of its shards."""
    step, is_unfinished = int(folder.name.rpartition("_")[2]), folder.name.startswith("tmp_")
    name = f"{run.name}{'-tmp' * is_unfinished}@{step}"
    model = next((model for place in MODEL_FOLDERS if (model := describe_model(folder / place, name))), None)
    checkpoint = model or Checkpoint(name, str(folder), "nemo_rl", problem=explain_conversion(folder))
    tokenizer = folder / "policy" / "tokenizer"
    if model and not has_tokenizer(Path(model.path)) and has_tokenizer(tokenizer):
        checkpoint = replace(checkpoint, tokenizer=str(tokenizer))
    problem = HALF_SAVED if is_unfinished else checkpoint.problem
    return replace(checkpoint, producer="nemo_rl", run=str(run), step=step, problem=problem)


def explain_conversion(folder: Path) -> str:
    """What makes a model of the shards of Megatron, or of torch.distributed."""
    weights = folder / "policy" / "weights"
    megatron = next(iter(find_entries(weights, "iter_*")), None)
    script, option = ("convert_megatron_to_hf.py", "megatron") if megatron else ("convert_dcp_to_hf.py", "dcp")
    return CONVERT.format(script=script, folder=folder, option=option, weights=megatron or weights)
