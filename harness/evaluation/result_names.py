"""Names of checkpoints within a results folder, in which another run's checkpoint may have the same name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import fingerprint
from harness.atomic_files import folder_name
from harness.checkpoint_names import parent_names
from harness.differences import changed_parts
from harness.store import RECORD, Results, read_own_record
from harness.types import Checkpoint, SkilldeltaError


def choose_names(checkpoints: Sequence[Checkpoint], name: str, results: Results) -> list[Checkpoint]:
    """The only checkpoint under the name that the user gives it; without one, each under a name that is its own in `results`.

    A `final_model` is called RUN-final_model where that of another run was scored into the folder before.
    SkilldeltaError for a name, and more checkpoints than one.
    """
    if name and len(checkpoints) != 1:
        names = ", ".join(c.name for c in checkpoints)
        raise SkilldeltaError(f"--name {name} needs exactly one checkpoint; found: {names}.")
    if name:
        return [replace(checkpoints[0], name=name)]
    others = {c.name for c in checkpoints}
    return [replace(c, name=own_name(c, others - {c.name}, results)) for c in checkpoints]


def own_name(checkpoint: Checkpoint, others: set[str], results: Results) -> str:
    """A checkpoint's name, with as many folders above it in front as it takes; its plain one where none will do."""
    folders = parent_names(checkpoint)
    longer = ("-".join([*folders[-depth:], checkpoint.name]) for depth in range(1, len(folders) + 1))
    names = (name for name in (checkpoint.name, *longer) if name not in others)
    return next((name for name in names if not belongs_to_another(name, checkpoint, results)), checkpoint.name)


def belongs_to_another(name: str, checkpoint: Checkpoint, results: Results) -> bool:
    """Whether a name is that of a checkpoint from another folder, with other weights.

    One from the same folder was trained anew: that is no other name, but the user's to decide.
    """
    path = results.folder / folder_name(name) / RECORD
    if not path.is_file() or not checkpoint.path:
        return False
    record = read_own_record(path)
    if not record.path or Path(record.path).resolve() == Path(checkpoint.path).resolve():
        return False
    return bool(changed_parts(record.fingerprint, fingerprint.hash_checkpoint(checkpoint)))
