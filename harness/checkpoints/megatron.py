"""Checkpoints of Megatron-LM, Megatron-Bridge and NeMo: iter_N folders of shards, seen and named with what converts them."""

from __future__ import annotations

import re
from pathlib import Path

from harness.folder_entries import find_entries
from harness.numbered_folders import list_numbered
from harness.types import Checkpoint

ORDER = 14
FOLDER_NAME = re.compile(r"^iter_(\d+)$")
NEMO_FOLDER = re.compile(r"^.*step[=_](\d+).*$")
MEGATRON = (
    "a checkpoint of Megatron: Megatron-Bridge makes a model of it, `python examples/conversion/convert_checkpoints.py export "
    "--hf-model THE_BASE --megatron-path {folder} --hf-path FOLDER`"
)
NEMO_1 = (
    "a checkpoint of NeMo 1 or NeMo-Aligner: NeMo's scripts/checkpoint_converters (convert_llama_nemo_to_hf.py, others) make "
    "a model of it, `--input_name_or_path {folder} --output_path FOLDER`"
)
NEMO = "a checkpoint of NeMo: `nemo llm export path={folder} target=hf output_path=FOLDER` makes a model of it"


def find(path: Path) -> list[Checkpoint]:
    """Every iteration of the run in `path` in its order, or the one that `path` is; none of them can be scored as it is."""
    if FOLDER_NAME.match(path.name) and is_megatron(path):
        return [describe_iteration(path, path.parent, int(path.name[5:]), MEGATRON)]
    if files := [f for f in find_entries(path, "*.nemo") if f.is_file()]:
        return [
            *list_steps(path),
            *(Checkpoint(f.stem, str(f), "megatron", run=str(path), problem=NEMO_1.format(folder=f)) for f in files),
        ]
    if is_nemo(path):
        match = NEMO_FOLDER.match(path.name)
        return [describe_iteration(path, path.parent, int(match.group(1)) if match else None, NEMO)]
    return list_steps(path)


def list_steps(path: Path) -> list[Checkpoint]:
    """The iterations in a folder, in their order."""
    return [
        describe_iteration(folder, path, step, MEGATRON if kind is is_megatron else NEMO)
        for kind, pattern in ((is_megatron, FOLDER_NAME), (is_nemo, NEMO_FOLDER))
        for step, folder in list_numbered(path, pattern)
        if kind(folder)
    ]


def is_megatron(folder: Path) -> bool:
    """Whether shards lie in it, and no model in the folder's own files."""
    shards = ("mp_rank_*", "*.distcp", "common.pt", "model_optim_rng.pt", "metadata.json")
    return not (folder / "config.json").exists() and any(find_entries(folder, name) for name in shards)


def is_nemo(folder: Path) -> bool:
    """NeMo 2 keeps weights and settings in folders of these names; NeMo 1 and NeMo-Aligner keep weights in model_weights."""
    return ((folder / "weights").is_dir() and (folder / "context").is_dir()) or (folder / "model_weights").is_dir()


def describe_iteration(folder: Path, run: Path, step: int | None, problem: str) -> Checkpoint:
    name = folder.name if step is None else f"{run.name}@{step}"
    problem = NEMO_1 if (folder / "model_weights").is_dir() else problem
    return Checkpoint(name, str(folder), "megatron", run=str(run), step=step, problem=problem.format(folder=folder))
