"""The method by which a checkpoint was trained: of its own log, of its run's, or that of its run's other checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.bounded_files import is_folder
from harness.training_log import find_method
from harness.types import Checkpoint


def add_method(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint with the method that its own log names, or its run's."""
    if checkpoint.method or checkpoint.producer == "hub":
        return checkpoint
    places = [checkpoint.path, checkpoint.run] if checkpoint.run else [checkpoint.path]
    folders = [Path(place) for place in places if is_folder(place)]
    return replace(checkpoint, method=next((method for folder in folders if (method := find_method(folder))), ""))


def share_methods(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints, of which a part of a run (final_model, best) has the method of the run's numbered ones."""
    methods = {c.run: c.method for c in checkpoints if c.run and c.method and c.method != "reward"}
    return [c if c.method else replace(c, method=methods.get(c.run, "")) for c in checkpoints]
