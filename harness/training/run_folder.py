"""The files of a run: checkpoint-N folders in the layout that transformers' Trainer writes.

A checkpoint appears complete or not at all: it is written under another name, trainer_state.json last, and then renamed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from harness.atomic_files import write_json
from harness.redaction import redact_settings
from harness.training import parallel, settings
from harness.training.optimizer import ScheduledOptimizer
from harness.training.saved_state import NAME, STATE, naming_damage, read_tensors
from harness.types import Json, SkilldeltaError

# Settings that may differ between a run and its resumption: none of them changes a weight.
CHANGEABLE = {"out", "resume", "save_steps", "save_limit", "log_steps", "device", "micro_batch", "shard"}
CHANGEABLE |= {"vllm_memory", "vllm_args"}


def checkpoint_folders(folder: Path) -> list[Path]:
    """The complete checkpoint-N folders, by N; folders whose names go on are somebody's copies."""
    complete = [p for p in folder.glob("checkpoint-*") if NAME.fullmatch(p.name) and (p / STATE).is_file()]
    return sorted(complete, key=lambda p: int(p.name.rpartition("-")[2]))


def latest_checkpoint(folder: Path) -> Path | None:
    """The last complete checkpoint, if there is one."""
    checkpoints = checkpoint_folders(folder)
    return checkpoints[-1] if checkpoints else None


def remove_checkpoints(folder: Path) -> None:
    """Removes the checkpoints of a run that starts again."""
    if parallel.is_writer():
        for checkpoint in checkpoint_folders(folder):
            shutil.rmtree(checkpoint)
    parallel.barrier()


def prune_checkpoints(folder: Path, keep: set[str], limit: int) -> None:
    """Removes the oldest checkpoints over the limit (0: no limit), except the names in `keep`."""
    if limit:
        for checkpoint in [c for c in checkpoint_folders(folder) if c.name not in keep][:-limit]:
            shutil.rmtree(checkpoint)


def write_training_state(draft: Path, states: Mapping[str, tuple[Json, Json]], more: Json) -> None:
    """The files of a checkpoint except the model, the tokenizer and trainer_state.json.

    The state of the random numbers is among them: without it a resumed run would end at other weights.
    """
    for name, value in more.items():
        if isinstance(value, nn.Module):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Could not find a config file")  # of a base that is gone
                value.save_pretrained(draft / name)  # type: ignore[operator]
        else:
            write_json(draft / name, value)
    for name, (optimizer, schedule) in states.items():
        torch.save(optimizer, draft / f"{name}.pt")
        torch.save(schedule, draft / f"{name.replace('optimizer', 'scheduler')}.pt")
    torch.save({"cpu": torch.get_rng_state()}, draft / "rng_state.pth")


def restore_optimizer(checkpoint: Path, name: str, optimizer: ScheduledOptimizer) -> None:
    """Brings back an optimiser and its schedule, as `write_training_state` wrote them.  SkilldeltaError for damaged files."""
    files = [checkpoint / f"{part}.pt" for part in (name, name.replace("optimizer", "scheduler"))]
    with naming_damage(checkpoint):
        state, schedule = map(read_tensors, files)
        optimizer.check_state(state, schedule["last_epoch"])
    optimizer.restore(state, schedule["last_epoch"])


def full_weights(model: nn.Module) -> dict[str, Any] | None:
    """The weights of a sharded model, in the writing process; None for a model that is whole itself."""
    if not any(isinstance(p, DTensor) for p in model.parameters()):
        return None
    weights: dict[str, Any] = parallel.gather_full(untied_weights(model))
    return weights


def untied_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model by their names, each once."""
    aliases = dict(model.named_parameters(remove_duplicate=False)).keys() - dict(model.named_parameters()).keys()
    return {name: weight for name, weight in model.state_dict().items() if name not in aliases}


def check_steps(folder: Path, total: int) -> None:
    """Raises SkilldeltaError for a checkpoint of a step after the last one: without a step to make, the run would be done."""
    latest = latest_checkpoint(folder)
    if latest and int(latest.name.rpartition("-")[2]) > total:
        raise SkilldeltaError(f"{latest} is none of this run, which has {total} steps: remove it, or name another --output.")


def settings_without_keys(config: settings.TrainerSettings) -> Json:
    """The settings as run.json keeps them: the arguments of another program may hold keys."""
    values = dataclasses.asdict(config)
    return values | ({"vllm_args": redact_settings(values["vllm_args"])} if "vllm_args" in values else {})


def check_same_settings(folder: Path, before: Json, config: settings.TrainerSettings) -> None:
    """Raises SkilldeltaError for a run under other settings: its checkpoints would belong to no single run.

    A setting that is newer than the run counts with its default.
    """
    defaults = json.loads(json.dumps(dataclasses.asdict(type(config)())))
    old = defaults | dict(before)
    new = json.loads(json.dumps(dataclasses.asdict(config)))
    changes = [f"{k} was {old[k]!r} and is {v!r}" for k, v in new.items() if k not in CHANGEABLE and old[k] != v]
    if changes:
        raise SkilldeltaError(
            f"{folder} holds a run with other settings: {'; '.join(changes)}.  "
            "Name another --output, use the same settings to continue, or start again with --resume false."
        )
