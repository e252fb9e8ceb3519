"""The files of a checkpoint while its run may be writing or deleting them: which they are, and whether all are there."""

from __future__ import annotations

from pathlib import Path

from harness import discovery
from harness.checkpoint_selection import Selection
from harness.named_bases import apply_source
from harness.types import SkilldeltaError, digest

# Files that training needs to go on, and that answering does not.
TRAINING_FILES = ("optimizer*", "scheduler*", "scaler*", "rng_state*", "training_args.bin")
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.gguf")


def is_for_training(file: Path) -> bool:
    return any(map(file.match, TRAINING_FILES))


def stamp_files(folder: Path) -> str:
    """Which files of weights lie in a folder (or are it): their names, sizes and inodes, which say more than times do."""
    try:
        every = folder.iterdir() if folder.is_dir() else [folder]
        files = sorted(f for f in every if any(map(f.match, WEIGHT_FILES)) and not is_for_training(f))
        states = [(file.name, file.stat()) for file in files]
    except FileNotFoundError:
        return "deleted"
    return digest([[name, state.st_size, state.st_ino, state.st_dev] for name, state in states])


def is_complete(folder: Path, base: str) -> bool:
    """Whether a folder holds one checkpoint with all its files; an adapter's base may be named from elsewhere."""
    try:
        (copy,) = discovery.find_at(str(folder))
        if copy.problem and base:
            copy = apply_source(copy, Selection(base=base))
    except (OSError, SkilldeltaError, ValueError):
        return False
    return not copy.problem
