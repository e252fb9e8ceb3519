"""A run folder of transformers' Trainer, TRL, or the trainers here: checkpoint-N folders, the final model at the root.

Within a checkpoint, Trainer writes trainer_state.json after the weights: where it is, the weights of this step are whole.
It also tells the step and the log.  training_args.bin is a pickle and is never read.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.checkpoints import _steps as steps
from harness.integrity import read_json
from harness.training_log import history
from harness.types import Checkpoint

ORDER = 10
NUMBERED = re.compile(r"^checkpoint-(\d+)$")
# Trainer's log does not name its method; the names of its metrics do (TRL 0.7 to 1.16).
SIGNS = {
    "rewards/chosen": "dpo",
    "objective/kl": "ppo",
    "mean_reward": "reward",
    "rewards/accuracies": "dpo",
    "frac_reward_zero_std": "grpo",
    "mean_token_accuracy": "sft",
}
TAGS = ("dpo", "ppo", "sft", "grpo", "rloo", "kto", "orpo", "online-dpo", "reward-trainer")


def find(path: Path) -> list[Checkpoint]:
    """Every checkpoint of the run in `path`, by step, the final model last; or the one numbered checkpoint that `path` is."""
    if NUMBERED.match(path.name) and (path / "trainer_state.json").is_file():
        return [numbered(path, path.parent)]
    found = [numbered(folder, path) for _, folder in steps.numbered(path, NUMBERED)]
    if not found:
        return []
    final = steps.describe(path, path.name)
    if final:
        found.append(replace(final, run=str(path), method=final.method or method(path) or found[-1].method))
    return found


def numbered(folder: Path, run: Path) -> Checkpoint:
    """A checkpoint-N folder: ready when its weights are whole and trainer_state.json, written after them, is there."""
    number = int(folder.name.rpartition("-")[2])
    name = f"{run.name}@{number}"
    found = steps.describe(folder, name) or Checkpoint(name, str(folder), "trainer", problem=unusable(folder))
    fault = found.problem
    if not fault and not (folder / "trainer_state.json").is_file():
        fault = "trainer_state.json is missing: the checkpoint is still being written, or the run was stopped while saving"
    return replace(
        found,
        producer="trainer",
        run=str(run),
        step=number,
        problem=fault,
        method=found.method or method(folder) or method(run),
    )


def unusable(folder: Path) -> str:
    """Why a checkpoint folder without a model file cannot be scored."""
    if any(folder.glob("global_step*")) or (folder / "zero_to_fp32.py").exists():
        return "only DeepSpeed shards: make a model of them with the zero_to_fp32.py that lies there"
    if any(folder.glob("pytorch_model_fsdp*")):
        return "only FSDP shards: make a model of them with `accelerate merge-weights`"
    return "neither config.json nor adapter_config.json: still being written, or no model was saved"


def method(folder: Path) -> str:
    """Which method made the checkpoints: from run.json, the log's metric names, or the model card's tags; "" if none tells."""
    try:
        named = read_json(folder / "run.json").get("method") if (folder / "run.json").is_file() else ""
    except ValueError:
        named = ""
    if named:
        return str(named)
    seen = {key for entry in history(folder) for key in entry}
    for sign, name in SIGNS.items():
        if sign in seen:
            return name
    card = folder / "README.md"
    tags = (
        re.findall(r"^- ([a-z-]+)$", card.read_text(encoding="utf-8", errors="replace"), re.MULTILINE) if card.is_file() else []
    )
    return next((t.removesuffix("-trainer") for t in TAGS if t in tags), "")
