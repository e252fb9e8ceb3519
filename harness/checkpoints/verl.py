"""A run of verl: global_step_N/actor (SFT: global_step_N) with a model in huggingface/, lora_adapter/, or shards alone.

latest_checkpointed_iteration.txt is written after everything of a step: a step above it is still being saved.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.checkpoints._steps import describe, numbered
from harness.types import Checkpoint

ORDER = 11  # before OpenRLHF's, whose names are alike
SAVED = re.compile(r"^global_step_(\d+)$")
LATEST = "latest_checkpointed_iteration.txt"
MERGE = (
    "shards only: `python -m verl.model_merger merge --backend {backend} --local_dir {actor} --target_dir FOLDER` makes a "
    "model of them; saving 'hf_model' too (checkpoint.save_contents) spares that"
)


PARTS = ("huggingface", "lora_adapter")


def find(path: Path) -> list[Checkpoint]:
    """Every step in its order; or the one step that `path` is."""
    if SAVED.match(path.name):
        return [c for c in find(path.parent) if Path(c.path).is_relative_to(path)]
    steps = [(step, policy(folder)) for step, folder in numbered(path, SAVED)]
    return [one(folder, path, step) for step, folder in steps if any((folder / part).is_dir() for part in PARTS)]


def policy(folder: Path) -> Path:
    """Where a step keeps the policy; `critic` beside it is the value model."""
    return folder / "actor" if (folder / "actor").is_dir() else folder


def one(folder: Path, run: Path, step: int) -> Checkpoint:
    """The policy of one step: a whole model before an adapter before shards."""
    name = f"{run.name}@{step}"
    there = [c for part in PARTS if (c := describe(folder / part, name))]
    found = next((c for c in there if not c.problem), there[0] if there else None)
    if found is None or found.problem.startswith("no weights"):  # huggingface/ holds config and tokenizer in any case
        backend = "megatron" if (folder / "dist_ckpt").is_dir() else "fsdp"
        found = Checkpoint(name, str(folder), "verl", problem=MERGE.format(backend=backend, actor=folder))
    if step > (last := latest(run)):
        found = replace(found, problem=f"still being written: {LATEST} says {last:g}")
    return replace(found, producer="verl", run=str(run), step=step)


def latest(run: Path) -> float:
    """The last step that was saved whole; infinite where no file tells."""
    try:
        return int((run / LATEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return float("inf")
