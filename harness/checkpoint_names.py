"""Names of checkpoints: short, unique, and the same for everybody who looks at the same folder from the same place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.grouping import group_by
from harness.types import Checkpoint, SkilldeltaError
from harness.visible_text import printable

# Folders that programs put models into, and whose names say nothing of the run.
CONTAINERS = re.compile(
    r"^(?:checkpoints?|ckpts?|exports?|models?|huggingface|hf|weights|(?:policy|actor|adapter|lora|hf)(?:_(?:hf|model|lora|adapter))?)$",
    re.IGNORECASE,
)
# Models of a run beside its numbered ones.
PARTS = re.compile(
    r"^(?:(?:final|best|last|latest|merged)(?:[_-].*)?|.*[_-](?:final|best|last|merged)|pretrained)$", re.IGNORECASE
)
NUMBERED_FOLDER = re.compile(
    r"^(?P<kind>checkpoint|ckpt|step|global_step|epoch|iter|iteration|e)[-_=]?(?P<number>\d{1,15})(?:_hf)?$", re.IGNORECASE
)


def adopt_run(checkpoint: Checkpoint, root: Path) -> Checkpoint:
    """A model that no producer placed in a run, in its run: that of a numbered folder above it, or of which it is a part.

    Only folders below `root` count, the folder that is searched.
    """
    path = Path(checkpoint.path)
    if checkpoint.run or root not in path.parents:
        return checkpoint
    below = path.relative_to(root).parts
    for place in reversed(range(len(below))):
        run = root.joinpath(*below[:place])
        if match := NUMBERED_FOLDER.match(below[place]):
            is_epoch = match["kind"].lower() in ("epoch", "e")
            number = int(match["number"])
            name = f"{run.name}@{'epoch' * is_epoch}{number}"
            return replace(checkpoint, name=name, run=str(run), step=None if is_epoch else number)
        if PARTS.match(below[place]):
            return replace(checkpoint, name=below[place], run=str(run))
        if not CONTAINERS.match(below[place]):
            break
    if path.is_file():  # a file's name is the same whether it or its folder is searched
        return checkpoint
    own_name = next((part for part in reversed(below) if not CONTAINERS.match(part)), checkpoint.name)
    return replace(checkpoint, name=own_name)


def leave_container(checkpoint: Checkpoint, root: Path) -> Checkpoint:
    """A run that lies in a folder such as `checkpoints/` by the name of the folder around it, as long as that is searched."""
    run, name = Path(checkpoint.run), checkpoint.name
    while checkpoint.run and CONTAINERS.match(run.name) and root in run.parents:
        name = run.parent.name + name.removeprefix(run.name) if name.startswith(run.name) else name
        run = run.parent
    return replace(checkpoint, name=name, run=str(run)) if checkpoint.run else checkpoint


def name_apart(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints, of which those that share a name get the names of the folders above in front: as few as it takes."""
    plain = [replace(c, name=printable(c.name).replace("/", "_") or "model") for c in checkpoints]
    groups = group_by(plain, lambda c: c.name)
    names = {id(c): name for name, group in groups.items() for c, name in zip(group, prefix_names(name, group), strict=True)}
    prefixed_checkpoints = [replace(c, name=names[id(c)]) for c in plain]
    refuse_doubles(prefixed_checkpoints)
    return prefixed_checkpoints


def prefix_names(name: str, group: Sequence[Checkpoint]) -> list[str]:
    """Different names for checkpoints that share `name`: by their runs' folders, else by what tells their paths apart."""
    if len(group) == 1:
        return [name]
    above = [parent_names(c) for c in group]
    for depth in range(1, max(map(len, above), default=0) + 1):
        prefixes = ["-".join(parents[-depth:]) for parents in above]
        if len(set(prefixes)) == len(group):
            return [printable(f"{prefix}-{name}") if prefix else name for prefix in prefixes]
    return [printable(f"{part}-{name}") if part else name for part in own_parts([c.path for c in group])]


def own_parts(paths: Sequence[str]) -> list[str]:
    """What tells paths apart: the folders between those with which all begin and those with which all end."""
    parts = [Path(path).parts for path in paths]
    shortest = min(map(len, parts))
    begin = next((i for i in range(shortest) if len({p[i] for p in parts}) > 1), shortest)
    end = next((i for i in range(shortest - begin) if len({p[len(p) - 1 - i] for p in parts}) > 1), shortest - begin)
    return ["-".join(p[begin : len(p) - end]) for p in parts]


def parent_names(checkpoint: Checkpoint) -> list[str]:
    """The folders above what a name begins with, without those that say nothing."""
    top = Path(checkpoint.run or checkpoint.path)
    is_named_by_run = not checkpoint.run or checkpoint.name.startswith(top.name)
    folder = top.parent if is_named_by_run else top
    return [part for part in folder.parts if not CONTAINERS.match(part) and part != "/"]


def refuse_doubles(checkpoints: Sequence[Checkpoint]) -> None:
    """Raises SkilldeltaError where two checkpoints have one name all the same: one folder on two bases."""
    for name, group in group_by(checkpoints, lambda c: c.name).items():
        if len(group) > 1:
            places = ", ".join(c.path for c in group)
            raise SkilldeltaError(
                f"Several checkpoints would be called {name!r}: {places}.  Score them one by one with --name."
            )
