"""The base of adapters, where it was named in the same command: runs and their base are often copied to another machine.

Named by itself (--base), or among the checkpoints.  The tokenizer of all (--tokenizer) is named likewise.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hub_cache
from harness.bounded_files import is_folder
from harness.checkpoint_folders import HUB_NAME, NEEDS_BASE, name_base
from harness.checkpoint_names import CONTAINERS, HUB_SNAPSHOT, PARTS
from harness.grouping import group_by
from harness.types import Checkpoint, SkilldeltaError
from harness.visible_text import printable

if TYPE_CHECKING:
    from harness.checkpoint_selection import Selection

LOG = logging.getLogger("skilldelta")


def adopt_named_bases(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints; an adapter of a Hub model that cannot be had is given the folder of its name, if one is among them.

    Only a whole model that no run here has made is taken for it: its folder has the name that the Hub's model has.  Where two
    have, none is taken.  That the weights fit is found out when the adapter is placed on them.
    """
    wholes = group_by((c for c in checkpoints if is_whole(c)), lambda c: model_name(Path(c.path)))
    result, names_by_pair = [], dict[tuple[str, str], list[str]]()
    for checkpoint in checkpoints:
        name, revision = hub_cache.split_revision(checkpoint.base)
        folders = {c.path for c in wholes.get(name.rpartition("/")[2], [])}
        if len(folders) == 1 and lacks_base(name, revision):
            (folder,) = folders
            names_by_pair.setdefault((checkpoint.base, folder), []).append(checkpoint.name)
            checkpoint = name_base(checkpoint, folder)
        result.append(checkpoint)
    for (base, folder), names in names_by_pair.items():
        adapters = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        choice = f"the base {printable(base)} is taken to be {printable(folder)}, which is named here too"
        announce_once(f"{adapters}: {choice}; --base FOLDER names another.")
    return result


@cache
def announce_once(text: str) -> None:
    """`watch` looks again and again."""
    LOG.warning("%s", text)


def is_whole(checkpoint: Checkpoint) -> bool:
    """Whether it may be a model as it was published: a whole one in a folder of a name of its own, and part of no run."""
    if checkpoint.base or checkpoint.problem or checkpoint.run or checkpoint.method or not is_folder(checkpoint.path):
        return False
    name = model_name(Path(checkpoint.path))
    return checkpoint.step is None and not any(pattern.match(name) for pattern in (CONTAINERS, PARTS))


def lacks_base(name: str, revision: str) -> bool:
    """Whether a base has the name of a Hub model, is no folder, and can neither be found in the Hub's cache nor asked for."""
    return bool(HUB_NAME.match(name) and not is_folder(name) and hub_cache.explain_absence(name, revision))


def model_name(folder: Path) -> str:
    """The name of a model by its folder, also by one of a Hub's cache (models--ORG--NAME/snapshots/HASH)."""
    match = HUB_SNAPSHOT.search(folder.as_posix())
    return match["name"] if match else folder.name


def apply_sources(checkpoints: Sequence[Checkpoint], selection: Selection) -> list[Checkpoint]:
    """All of them with the base and the tokenizer that the user named.  SkilldeltaError for a base that none of them takes."""
    if selection.base and checkpoints and not any(c.base or c.problem for c in checkpoints):
        raise base_without_adapters([checkpoint.path for checkpoint in checkpoints])
    return [apply_source(checkpoint, selection) for checkpoint in checkpoints]


def base_without_adapters(models: Sequence[str]) -> SkilldeltaError:
    """The error for a --base of which none of these models makes any use."""
    first, others = printable(models[0]), len(models) - 1
    reason = f"{first} and {others} more are whole models" if others else f"{first} is a whole model"
    return SkilldeltaError(f"--base is for adapters: {reason}.  Leave it out.")


def apply_source(checkpoint: Checkpoint, selection: Selection) -> Checkpoint:
    """A checkpoint with the base and the tokenizer that the user named."""
    for flag, folder in (("--base", selection.base), ("--tokenizer", selection.tokenizer)):
        if folder and not is_folder(folder) and (reason := explain_no_source(folder)):
            raise SkilldeltaError(f"{flag} {folder}: {reason}.")
    if selection.base and (checkpoint.base or NEEDS_BASE in checkpoint.problem):
        checkpoint = name_base(checkpoint, selection.base)
    return replace(checkpoint, tokenizer=selection.tokenizer or checkpoint.tokenizer)


def explain_no_source(place: str) -> str:
    """Why a name that is no folder is no model either; "" for one in the Hub's cache, or that it can be asked for."""
    name, revision = hub_cache.split_revision(place)
    if hub_cache.snapshot_folder(name, revision):
        return ""
    return hub_cache.explain_absence(name, revision) if names_hub_model(name) else "there is no such folder"


def names_hub_model(name: str) -> bool:
    """Whether the Hub may have a model of this name, and no folder here is meant."""
    return bool(HUB_NAME.match(name)) and not name.startswith(".") and not is_folder(name.split("/")[0])
