"""Names of checkpoints: short, unique, and the same for everybody who looks at the same folder from the same place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.grouping import group_by
from harness.numbered_folders import folder_number
from harness.types import Checkpoint, SkilldeltaError
from harness.visible_text import printable

# Folders that programs put models into, and whose names say nothing of the run.
CONTAINERS = re.compile(
    r"^(?:checkpoints?|ckpts?|exports?|models?|huggingface|hf|weights|broadcasts|modeling|consolidated"
    r"|(?:policy|actor|adapter|lora|hf)(?:_(?:hf|model|lora|adapters?))?)$",
    re.IGNORECASE,
)
# Models of a run beside its numbered ones.
PARTS = re.compile(
    r"^(?:(?:final|best|last|latest|merged)(?:[_-].*)?|.*[_-](?:final|best|last|merged)|pretrained)$", re.IGNORECASE
)
HUB_SNAPSHOT = re.compile(r"(?:^|/)models--(?:.+--)?(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{6,64})$")


def search_root(folder: Path) -> Path:
    """The folder from which checkpoints at or below `folder` are named: that of the run, where `folder` is one of its steps."""
    place, is_in_run = folder, False
    while place.name and ((is_step := is_run_folder(place)) or CONTAINERS.match(place.name)):
        place, is_in_run = place.parent, is_in_run or is_step
    return place if is_in_run else folder


def is_run_folder(folder: Path) -> bool:
    """Whether a folder's name makes it a step or a part of a run."""
    return bool(PARTS.match(folder.name)) or folder_number(folder) is not None


def adopt_run(checkpoint: Checkpoint, root: Path) -> Checkpoint:
    """A model that no producer placed in a run, in its run: that of a numbered folder above it, or of which it is a part.

    Only folders below `root` count, from which names are made.
    """
    path = Path(checkpoint.path)
    if match := HUB_SNAPSHOT.search(checkpoint.path):
        return replace(checkpoint, name=f"{match['name']}@{match['commit'][:8]}")
    if checkpoint.run or root not in path.parents:
        return checkpoint
    below = path.relative_to(root).parts
    is_state = checkpoint.producer == "torch"  # of which programs keep parts in folders of any name
    part, inside = dict[str, str](), ""
    for place in reversed(range(len(below))):
        run = root.joinpath(*below[:place])
        if number := folder_number(run / below[place]):
            name = f"{below[place] if number.label else f'{run.name}@{number.text}'}{inside}"
            return replace(checkpoint, name=name, run=str(run), step=number.step)
        if PARTS.match(below[place]):
            part = {"name": below[place], "run": str(run)}
            if "merged" not in below[place].lower():  # what is merged within a numbered folder is that step's model
                break
        elif is_state or CONTAINERS.match(below[place]):
            continue
        elif place + 1 == len(below) and folder_number(run) and root in run.parents:
            inside = f"-{below[place]}"  # one of several models of a step
        else:
            break
    if part:
        return replace(checkpoint, name=part["name"], run=part["run"])
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
