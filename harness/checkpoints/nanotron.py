"""A run of nanotron: folders named by their step alone, with a file for each tensor; seen, and named with the way out."""

from __future__ import annotations

import re
from pathlib import Path

from harness.numbered_folders import list_numbered
from harness.types import Checkpoint

ORDER = 15
FOLDER_NAME = re.compile(r"^(\d+)$")
CONVERT = (
    "a checkpoint of nanotron: `torchrun --nproc-per-node=1 examples/llama/convert_nanotron_to_hf.py "
    "--checkpoint_path={folder} --save_path=FOLDER` makes a model of it"
)


def find(path: Path) -> list[Checkpoint]:
    """Every step of the run in `path` in its order, or the one that `path` is."""
    if FOLDER_NAME.match(path.name) and is_nanotron(path):
        return [describe_iteration(path, path.parent)]
    return [describe_iteration(folder, path) for _, folder in list_numbered(path, FOLDER_NAME) if is_nanotron(folder)]


def is_nanotron(folder: Path) -> bool:
    return (folder / "model_config.json").is_file() and (folder / "model").is_dir() and not (folder / "config.json").exists()


def describe_iteration(folder: Path, run: Path) -> Checkpoint:
    problem = CONVERT.format(folder=folder)
    return Checkpoint(
        f"{run.name}@{int(folder.name)}", str(folder), "nanotron", run=str(run), step=int(folder.name), problem=problem
    )
