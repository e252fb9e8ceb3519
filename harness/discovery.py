"""Finds the checkpoints below the paths that the user names, through the producers in checkpoints/."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import hub_cache, registry
from harness.bounded_files import is_folder
from harness.checkpoint_folders import (
    HUB_NAME,
    NEEDS_BASE,
    OTHER_MODEL,
    POLICY_FOLDER,
    explain_value_head,
    has_model_files,
    name_base,
    printable_checkpoint,
)
from harness.checkpoint_names import CONTAINERS, PARTS, adopt_run, leave_container, name_apart, search_root
from harness.checkpoint_selection import Selection, select_checkpoints
from harness.integrity import ADAPTER_CONFIG, NO_WEIGHTS
from harness.numbered_folders import natural_order, parse_number
from harness.training_log import find_method
from harness.types import Checkpoint, SkilldeltaError, unknown_name
from harness.visible_text import printable

MAX_DEPTH = 8  # folders below the one that was named
MAX_FOLDERS = 5000  # that are looked into, so that an answer comes soon for a home folder too
PASSED_OVER = re.compile(
    r"^(?:[._].*|critic|optimizer|.*_states?|node_modules|__pycache__|wandb|site-packages)$", re.IGNORECASE
)
REFERENCE = re.compile(r"^ref(?:erence)?(?:_(?:adapter|model|policy))?$", re.IGNORECASE)
STEP_IN_REVISION = re.compile(r"(?:step|checkpoint|iter|global_step)[-_=]?(\d{1,15})", re.IGNORECASE)


def find_checkpoints(paths: Sequence[str], selection: Selection = Selection()) -> list[Checkpoint]:
    """Every checkpoint at or below `paths` that is selected, in the order of runs and steps, each with a name of its own."""
    checkpoints = [c for path in paths for c in find_at(path)]
    unique = list({(c.path, c.base, c.adapters): c for c in checkpoints}.values())
    return [apply_sources(c, selection) for c in select_checkpoints(name_apart(unique), selection)]


def name_served_models(names: Sequence[str], selection: Selection = Selection()) -> list[Checkpoint]:
    """The models that a server knows by these names, whatever lies in folders here.  SkilldeltaError for an empty name."""
    if selection.base or selection.tokenizer:
        raise SkilldeltaError("--base and --tokenizer are for folders: a server has its models whole.")
    if not all(name.strip() for name in names):
        raise SkilldeltaError("The name of a model is empty: write the name under which the server has it.")
    checkpoints = [Checkpoint(name.rstrip("/").split("/")[-1], name, "server") for name in dict.fromkeys(names)]
    return select_checkpoints(name_apart(checkpoints), selection)


def apply_sources(checkpoint: Checkpoint, selection: Selection) -> Checkpoint:
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


def find_at(path: str) -> list[Checkpoint]:
    """The checkpoints of one path: a folder, the folders below it, or a Hub name, also with a revision."""
    folder = Path(path)
    if not is_folder(path):
        if folder.is_file() and folder.suffix == ".gguf":
            return [printable_checkpoint(registry.module("producers", "gguf").describe_file(folder))]
        if folder.is_file():
            raise SkilldeltaError(f"{path} is a file.  Name the folder of a checkpoint or of a run.")
        name, _, revision = path.partition("@")
        if names_hub_model(name):
            return [describe_hub_model(name, revision)]
        near = [str(p) for p in sorted(folder.parent.glob("*")) if p.is_dir()] if is_folder(str(folder.parent)) else []
        raise unknown_name("folder", path, near)
    search = FolderSearch(folder.resolve())
    checkpoints = search.run()
    if not checkpoints:
        contents = ", ".join(printable(p.name) for p in sorted(folder.iterdir())[:8]) or "nothing"
        bound = f"  Only {MAX_FOLDERS} folders were searched: name one nearer to the models." if search.is_cut_short else ""
        raise SkilldeltaError(
            f"There is no checkpoint in {path}; it holds: {contents}.{bound}\n"
            f"Recognised are the folders of: {', '.join(p.replace('_', '-') for p in registry.modules('producers'))}."
        )
    return checkpoints


def describe_hub_model(name: str, revision: str) -> Checkpoint:
    """A model of the Hub; of one with a revision the step that its name says."""
    label, match = name.split("/")[-1], STEP_IN_REVISION.search(revision)
    path = f"{name}@{revision}" if revision else name
    return Checkpoint(
        f"{label}@{revision}" if revision else label,
        path,
        "hub",
        run=name if match else "",
        step=int(match.group(1)) if match else None,
    )


def find_inside(folder: Path) -> list[Checkpoint]:
    """The checkpoints of a folder that is one or a run, or of the folders below it; [] where there is none."""
    return FolderSearch(folder.resolve()).run()


@dataclass
class FolderSearch:
    """A search below one folder, depth first, that goes no further where it has found what it looks for."""

    root: Path
    folders: set[Path] = field(default_factory=set)

    @property
    def is_cut_short(self) -> bool:
        return len(self.folders) >= MAX_FOLDERS

    def run(self) -> list[Checkpoint]:
        """The checkpoints, each in its run, with the method of its run's log."""
        top = search_root(self.root)
        checkpoints = drop_states([leave_container(adopt_run(c, top), top) for c in self.visit(self.root, 0)])
        checkpoints = [explain_value_head(add_method(c)) for c in share_methods(checkpoints)]
        order = {run: place for place, run in enumerate(dict.fromkeys(c.run or c.path for c in checkpoints))}
        return sorted(map(printable_checkpoint, checkpoints), key=lambda c: (order[c.run or c.path], *step_order(c)))

    def visit(self, folder: Path, depth: int) -> Iterator[Checkpoint]:
        """The checkpoints of a folder, then those of the folders in it that are not its own."""
        if self.is_cut_short or folder.resolve() in self.folders:
            return
        self.folders.add(folder.resolve())
        try:
            checkpoints = find_by_producer(folder)
        except OSError:  # deleted, or not ours to read: its neighbours are looked at all the same
            return
        yield from checkpoints
        paths = [Path(c.path) for c in checkpoints]
        is_model_alone = paths == [folder] and holds_model(checkpoints[0])
        for child in self.subfolders(folder, depth) if depth < MAX_DEPTH else ():
            own = [c for c, path in zip(checkpoints, paths, strict=True) if child == path or child in path.parents]
            if own or (checkpoints and parse_number(child.name)):
                if not any(map(holds_model, own)):
                    yield from filter(holds_model, self.visit(child, depth + 1))
            elif not is_model_alone or is_part(child):
                yield from self.visit(child, depth + 1)

    def subfolders(self, folder: Path, depth: int) -> Iterable[Path]:
        """The folders in a folder by name.  Links are followed out of the searched folder only from its first level."""
        try:
            children = [p for p in folder.iterdir() if not PASSED_OVER.match(p.name) and p.is_dir()]
        except OSError:
            return []
        if parse_number(folder.name) and any(POLICY_FOLDER.match(p.name) for p in children):
            children = [p for p in children if not OTHER_MODEL.search(p.name)]  # what a policy is trained with
        children = sorted((p for p in children if not is_reference_adapter(p)), key=lambda p: natural_order(p.name))
        return [p for p in children if not p.is_symlink() or (depth == 0 and self.root not in p.resolve().parents)]


def holds_model(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is a model, even a damaged one, and no state that a model could be made of."""
    return not checkpoint.problem or (has_model_files(Path(checkpoint.path)) and not checkpoint.problem.startswith(NO_WEIGHTS))


def is_part(folder: Path) -> bool:
    """Whether a folder in a model's own folder may hold another model of the run."""
    return bool(PARTS.match(folder.name) or CONTAINERS.match(folder.name)) or (folder / ADAPTER_CONFIG).is_file()


def is_reference_adapter(folder: Path) -> bool:
    """Whether a folder holds what peft saves beside a policy's adapter: the one that it was compared with in training."""
    return bool(REFERENCE.match(folder.name)) and (folder / ADAPTER_CONFIG).is_file()


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


def find_by_producer(folder: Path) -> list[Checkpoint]:
    """The checkpoints that the first producer which recognises this folder finds in it."""
    producers = [registry.module("producers", name) for name in registry.modules("producers")]
    for producer in sorted(producers, key=lambda p: int(p.ORDER)):
        if checkpoints := list(producer.find(folder)):
            return checkpoints
    return []


def step_order(checkpoint: Checkpoint) -> tuple[bool | int, ...]:
    """Numbered checkpoints by step, epochs by number, then what has no number."""
    epoch = re.search(r"@epoch(\d+)(?:-step(\d+))?$", checkpoint.name)
    numbers = [int(number or 0) for number in epoch.groups()] if epoch else [0, 0]
    return checkpoint.step is None and not epoch, checkpoint.step or 0, *numbers


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
