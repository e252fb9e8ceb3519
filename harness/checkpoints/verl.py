"""A run of verl: global_step_N/actor (SFT: global_step_N) with a model in huggingface/, lora_adapter/, or shards alone.

verl writes latest_checkpointed_iteration.txt last: a step with a higher number is still being saved.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.bounded_files import read_bytes
from harness.checkpoint_folders import describe_model
from harness.folder_entries import find_entries
from harness.numbered_folders import list_numbered
from harness.types import Checkpoint

ORDER = 11  # before OpenRLHF's, whose names are alike
FOLDER_NAME = re.compile(r"^global_step_(\d+)$")
LATEST = "latest_checkpointed_iteration.txt"
MAX_NUMBER = 100  # bytes of a file that holds a step
MERGE = (
    "shards only: `python -m verl.model_merger merge --backend {backend} --local_dir {actor} --target_dir FOLDER` makes a "
    "model of them; saving 'hf_model' too (checkpoint.save_contents) spares that"
)
SKYRL = (
    "shards only, of SkyRL: trainer.hf_save_interval saves models too, into trainer.export_path; `python -m verl.model_merger "
    "merge --backend fsdp --local_dir {actor} --target_dir FOLDER` can join shards of FSDP"
)
PARTS = ("huggingface", "lora_adapter")


def find(path: Path) -> list[Checkpoint]:
    """Every step in its order; or the one step that `path` is."""
    if FOLDER_NAME.match(path.name):
        return [c for c in find(path.parent) if Path(c.path).is_relative_to(path)]
    steps = [(step, policy_folder(folder)) for step, folder in list_numbered(path, FOLDER_NAME)]
    if not any((folder / part).is_dir() for _, folder in steps for part in PARTS):
        return []
    return [describe_policy(folder, path, step) for step, folder in steps if is_policy(folder)]


def is_policy(folder: Path) -> bool:
    """Whether a policy lies in a folder: as a model, or in shards, of which the last step may not have more yet."""
    return any((folder / part).is_dir() for part in (*PARTS, "dist_ckpt")) or bool(find_entries(folder, "model_world_size_*"))


def policy_folder(folder: Path) -> Path:
    """Where a step keeps the policy (in `policy`: SkyRL's); `critic` next to it is the value model."""
    return next((folder / name for name in ("actor", "policy") if (folder / name).is_dir()), folder)


def describe_policy(folder: Path, run: Path, step: int) -> Checkpoint:
    """The policy of one step: a whole model before an adapter before shards."""
    name = f"{run.name}@{step}"
    models = [model for part in PARTS if (model := describe_model(folder / part, name))]
    checkpoint = next((model for model in models if not model.problem), models[0] if models else None)
    if checkpoint is None or checkpoint.problem.startswith("no weights"):  # huggingface/ holds config and tokenizer in any case
        backend = "megatron" if (folder / "dist_ckpt").is_dir() else "fsdp"
        text = SKYRL if folder.name == "policy" else MERGE
        checkpoint = Checkpoint(name, str(folder), "verl", problem=text.format(backend=backend, actor=folder))
    if step > (complete := last_complete_step(run)):
        checkpoint = replace(checkpoint, problem=f"still being written: {LATEST} says {complete:g}")
    return replace(checkpoint, producer="verl", run=str(run), step=step)


def last_complete_step(run: Path) -> float:
    """The last step that was saved completely; infinite where no file says it."""
    try:
        return float(int(read_bytes(run / LATEST, MAX_NUMBER)))
    except (OSError, ValueError):
        return float("inf")
