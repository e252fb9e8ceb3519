"""Names of checkpoints within a results folder, in which another run's checkpoint may have the same name."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from harness import fingerprint
from harness.bounded_files import is_listed, resolve_links
from harness.checkpoint_names import parent_names
from harness.differences import changed_parts
from harness.records import CheckpointRecord
from harness.store import MARKER, RECORD, Results, read_own_record
from harness.types import Checkpoint, SkilldeltaError

NOT_CHECKPOINTS = (MARKER, "_examples")  # names in a results folder that are no checkpoint's
LONGEST = 120  # characters of a name, so that it fits in a path


def choose_names(checkpoints: Sequence[Checkpoint], name: str, results: Results) -> list[Checkpoint]:
    """The only checkpoint under the name that the user gives it; without one, each under a name that is its own in `results`.

    A `final_model` is called RUN-final_model where that of another run was scored into the folder before.
    SkilldeltaError for a name, and more checkpoints than one.
    """
    if name and len(checkpoints) != 1:
        names = ", ".join(c.name for c in checkpoints)
        raise SkilldeltaError(f"--name {name} needs exactly one checkpoint; found: {names}.")
    if name:
        check_name(name)
        return [replace(checkpoints[0], name=name)]
    renamings, records = list(checkpoints), readable_records(results)
    for place, checkpoint in enumerate(renamings):
        others = {c.name for c in renamings[:place] + renamings[place + 1 :]}
        renamings[place] = replace(checkpoint, name=own_name(checkpoint, others, records))
    return renamings


def readable_records(results: Results) -> dict[str, CheckpointRecord]:
    """The records of the results by name, without damaged ones: they say no name, and `Results.add` refuses theirs."""
    records = {}
    for path in sorted(place / RECORD for place in results.folder.iterdir()):
        with suppress(SkilldeltaError):
            if is_listed(path):
                record = read_own_record(path)
                records[record.name] = record
    return records


def own_name(
    checkpoint: Checkpoint, others: Container[str], records: Mapping[str, CheckpointRecord], files: Checkpoint | None = None
) -> str:
    """The name under which the results hold a checkpoint; of a new one its name, with as many folders in front as it takes.

    `others`: names that are no choice.  `files`: the same checkpoint where its files are read, if that is another place.
    Where no name will do it is the plain one, and the results refuse it.
    """
    folders = parent_names(checkpoint)
    longer = ("-".join([*folders[-depth:], checkpoint.name]) for depth in range(1, len(folders) + 1))
    names = (name for name in (*earlier_names(checkpoint, records), checkpoint.name, *longer) if name not in others)
    return next((n for n in names if not belongs_to_another(records.get(n), checkpoint, files or checkpoint)), checkpoint.name)


def earlier_names(checkpoint: Checkpoint, records: Mapping[str, CheckpointRecord]) -> list[str]:
    """The names of the same folder in the results, if they differ by folders in front: its neighbours were others then."""
    name = checkpoint.name
    return [n for n, r in records.items() if (n.endswith(f"-{name}") or name.endswith(f"-{n}")) and is_same(r, checkpoint)]


def is_same(record: CheckpointRecord, checkpoint: Checkpoint) -> bool:
    """Whether a record is of the checkpoint's folder."""
    return bool(record.path and checkpoint.path) and resolve_links(record.path) == resolve_links(checkpoint.path)


def belongs_to_another(record: CheckpointRecord | None, checkpoint: Checkpoint, files: Checkpoint) -> bool:
    """Whether a record is that of a checkpoint from another folder, with other weights than `files`.

    One from the same folder was trained anew: that is no other name, but the user's to decide.
    """
    if record is None or not record.path or not checkpoint.path or is_same(record, checkpoint):
        return False
    return bool(changed_parts(record.fingerprint, fingerprint.hash_checkpoint(files)))


def check_name(name: str) -> None:
    """Raises SkilldeltaError where a name cannot be a folder's or stand in a table."""
    if not name.strip() or len(name) > LONGEST or not name.isprintable() or name in NOT_CHECKPOINTS:
        rule = f"1 to {LONGEST} printable characters, not {' or '.join(NOT_CHECKPOINTS)}"
        raise SkilldeltaError(f"{name[:40]!r} cannot be a name here ({rule}): give the model another --name.")
