"""The files of a run: checkpoint-N folders in the layout that transformers' Trainer writes.

A checkpoint appears whole or not at all: it is written under another name, trainer_state.json last, and then renamed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness import fingerprint
from harness.store import write_json
from harness.training import model_loading, parallel
from harness.training.settings import Settings
from harness.types import Checkpoint, Json, SkilldeltaError

# Settings that may differ between a run and its resumption without changing a weight.
FREE = {"out", "resume", "save_steps", "save_limit", "log_steps", "device", "micro_batch", "shard"}


def numbered(folder: Path) -> list[Path]:
    """The checkpoint-N folders that are whole, by N."""
    found = [p for p in folder.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    return sorted(found, key=lambda p: int(p.name.rpartition("-")[2]))


def latest(folder: Path) -> Path | None:
    """The last whole checkpoint, if there is one."""
    found = numbered(folder)
    return found[-1] if found else None


def clear(folder: Path) -> None:
    """Removes the checkpoints of a run that is begun anew."""
    if parallel.first():
        for old in numbered(folder):
            shutil.rmtree(old)
    parallel.wait()


def prune(folder: Path, kept: set[str], limit: int) -> None:
    """Removes the oldest checkpoints over the limit (0: there is none); those named in `kept` stay."""
    if limit:
        for old in [c for c in numbered(folder) if c.name not in kept][:-limit]:
            shutil.rmtree(old)


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A folder to write into under another name, which gets its own when all of it is there."""
    draft = target.with_name(f".writing-{target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    yield draft
    if target.exists():
        shutil.rmtree(target)
    draft.replace(target)


def fill(draft: Path, states: Mapping[str, tuple[Json, Json]], more: Json) -> None:
    """The files of a checkpoint besides the model, the tokenizer and trainer_state.json."""
    for name, value in more.items():
        if isinstance(value, nn.Module):
            value.save_pretrained(draft / name)  # type: ignore[operator]
        else:
            write_json(draft / name, value)
    for name, (optimizer, schedule) in states.items():
        torch.save(optimizer, draft / f"{name}.pt")
        torch.save(schedule, draft / f"{schedule_of(name)}.pt")
    torch.save({"cpu": torch.get_rng_state()}, draft / "rng_state.pth")


def states(checkpoint: Path, optimizer: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of an optimiser and of its schedule, as `fill` wrote them."""
    found = [torch.load(checkpoint / f"{name}.pt", weights_only=True) for name in (optimizer, schedule_of(optimizer))]
    return found[0], found[1]


def schedule_of(optimizer: str) -> str:
    """The file name of a schedule beside its optimiser's: optimizer -> scheduler."""
    return optimizer.replace("optimizer", "scheduler")


def whole_weights(model: nn.Module) -> dict[str, Any] | None:
    """The weights of a model that is divided among processes, for the first of them; None: the model has them itself."""
    if not any(parallel.is_divided(p) for p in model.parameters()):
        return None
    tied = dict(model.named_parameters(remove_duplicate=False)).keys() - dict(model.named_parameters()).keys()
    weights: dict[str, Any] = parallel.whole({k: v for k, v in model.state_dict().items() if k not in tied})
    return weights


def refuse_other_data(folder: Path, before: Sequence[Json], now: Sequence[Json]) -> None:
    """Refuses to go on with a run whose files have changed meanwhile."""
    changed = [b["source"] for b, n in zip(before, now, strict=False) if b["sha256"] != n["sha256"]]
    if changed:
        raise SkilldeltaError(
            f"{folder} holds a run that was begun on other content of {', '.join(changed)}.  "
            "Name another --out, or begin anew with --resume false."
        )


def refuse_other_settings(folder: Path, before: Json, config: Settings) -> None:
    """Refuses to go on with a run under other settings: its checkpoints would be of no one run.

    A setting that the run was begun without, because it is newer, was as it is by default.
    """
    begun = json.loads(json.dumps(dataclasses.asdict(type(config)()))) | dict(before)
    now = json.loads(json.dumps(dataclasses.asdict(config)))
    other = [f"{k} was {begun[k]!r} and is {v!r}" for k, v in now.items() if k not in FREE and begun[k] != v]
    if other:
        raise SkilldeltaError(
            f"{folder} holds a run with other settings: {'; '.join(other)}.  "
            "Name another --out, use the same settings to go on, or begin anew with --resume false."
        )


def described(model: str) -> dict[str, Any]:
    """A model by its folder and the hashes of its parts; and what its own run cost, where that is one of these trainers'."""
    path = model_loading.resolve(model)
    known = {"path": path, "fingerprint": fingerprint.checkpoint(Checkpoint(Path(path).name, path, "transformers"))}
    file = Path(path) / "trainer_state.json"
    state = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    costs = state.get("stateful_callbacks", {}).get("skilldelta", {}).get("costs")
    return known | ({"cost": {"total_flos": costs["flops"], "seconds": sum(costs["seconds"].values())}} if costs else {})
