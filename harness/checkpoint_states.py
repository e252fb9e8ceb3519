"""Which checkpoints are models, and which are states of training alone: of those whose model is there too nothing is said."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from harness.checkpoint_folders import has_model_files
from harness.integrity import NO_WEIGHTS
from harness.numbered_folders import parse_number
from harness.types import Checkpoint


def holds_model(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is a model, even a damaged one, and no state that a model could be made of."""
    return not checkpoint.problem or (has_model_files(Path(checkpoint.path)) and not checkpoint.problem.startswith(NO_WEIGHTS))


def drop_states(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints without the states of those steps of which a model lies in the same folder, or in the one beside it."""
    models = [c for c in checkpoints if holds_model(c)]
    names = {(c.name, numbered_parent(c)) for c in models}
    folders = {parent for c in models for parent in (Path(c.path), *Path(c.path).parents)}
    return [c for c in checkpoints if holds_model(c) or not ((c.name, numbered_parent(c)) in names or is_state_of(c, folders))]


def is_state_of(checkpoint: Checkpoint, folders: Container[Path]) -> bool:
    """Whether a checkpoint is a numbered folder without a model of its own, of whose subfolders one holds a model."""
    return Path(checkpoint.path) in folders and parse_number(Path(checkpoint.path).name) is not None


def numbered_parent(checkpoint: Checkpoint) -> Path | None:
    """The folder in which the numbered folder of a checkpoint lies; None where it is in none."""
    path = Path(checkpoint.path)
    return next((place.parent for place in (path, *path.parents) if parse_number(place.name)), None)
