"""Finds the checkpoints below the paths that the user names, through the producers in checkpoints/."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness import registry
from harness.bounded_files import is_folder
from harness.checkpoint_folders import OTHER_MODEL, POLICY_FOLDER, explain_value_head, printable_checkpoint
from harness.checkpoint_methods import add_method, share_methods
from harness.checkpoint_names import CONTAINERS, PARTS, adopt_run, leave_container, name_apart, search_root
from harness.checkpoint_selection import Selection, select_checkpoints
from harness.checkpoint_states import drop_states, holds_model
from harness.folder_entries import MAX_ENTRIES, is_made_up, list_entries, list_once
from harness.grouping import group_by
from harness.integrity import ADAPTER_CONFIG
from harness.missing_checkpoints import explain_no_checkpoint
from harness.named_bases import adopt_named_bases, apply_source, apply_sources, names_hub_model
from harness.numbered_folders import natural_order, parse_number
from harness.types import Checkpoint, SkilldeltaError, unknown_name
from harness.visible_text import printable

LOG = logging.getLogger("skilldelta")
MAX_DEPTH = 8  # folders below the one that was named
MAX_FOLDERS = 5000  # that are looked into, so that an answer comes soon for a home folder too
MAX_LISTED = 1_000_000  # names in all of them
PASSED_OVER = re.compile(
    r"^(?:[._].*|critic|optimizer|.*_states?|node_modules|__pycache__|wandb|site-packages)$", re.IGNORECASE
)
REFERENCE = re.compile(r"^ref(?:erence)?(?:_(?:adapter|model|policy))?$", re.IGNORECASE)
STEP_IN_REVISION = re.compile(r"(?:step|checkpoint|iter|global_step)[-_=]?(\d{1,15})", re.IGNORECASE)


def find_checkpoints(paths: Sequence[str], selection: Selection = Selection()) -> list[Checkpoint]:
    """Every checkpoint at or below `paths` that is selected, in the order of runs and steps, each with a name of its own."""
    present = name_different(c for path in paths for c in find_at(path))
    candidates = present if selection.base else adopt_named_bases(present)
    return apply_sources(select_checkpoints(candidates, selection), selection)


def find_so_far(paths: Sequence[str], selection: Selection = Selection()) -> list[Checkpoint]:
    """The same, under the same names, of paths that need not exist yet; [] also where nothing is selected yet."""
    present = name_different(c for path in paths for c in find_inside(Path(path)))
    try:
        left = select_checkpoints(present, selection)
    except SkilldeltaError:
        return []
    return [apply_source(c, selection) for c in left]


def name_different(checkpoints: Iterable[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints without repetitions, each with a name of its own."""
    return name_apart(list({(c.path, c.base, c.adapters): c for c in checkpoints}.values()))


def name_served_models(names: Sequence[str], selection: Selection = Selection()) -> list[Checkpoint]:
    """The models that a server knows by these names, whatever lies in folders here.  SkilldeltaError for an empty name."""
    if selection.base or selection.tokenizer:
        raise SkilldeltaError("--base and --tokenizer are for folders: a server has its models whole.")
    if not all(name.strip() for name in names):
        raise SkilldeltaError("The name of a model is empty: write the name under which the server has it.")
    checkpoints = [Checkpoint(name.rstrip("/").split("/")[-1], name, "server") for name in dict.fromkeys(names)]
    return select_checkpoints(name_apart(checkpoints), selection)


def find_at(path: str) -> list[Checkpoint]:
    """The checkpoints of one path: a folder, the folders below it, or a Hub name, also with a revision."""
    folder = Path(path)
    if not is_folder(path):
        if checkpoints := find_inside(folder):
            return checkpoints
        if folder.is_file():
            raise SkilldeltaError(f"{path} is a file.  Name the folder of a checkpoint or of a run.")
        name, _, revision = path.partition("@")
        if names_hub_model(name):
            return [describe_hub_model(name, revision)]
        above = next((p for p in folder.parents if is_folder(str(p))), Path())
        near = [str(p) for p in sorted(above.glob("*")) if p.is_dir()]
        raise SkilldeltaError(f"{unknown_name('folder', path, near)}{'' if near else f'  {above} holds no folder.'}")
    search = FolderSearch(folder.resolve())
    checkpoints = search.run()
    if not checkpoints:
        raise SkilldeltaError(explain_no_checkpoint(folder, search.limits))
    return checkpoints


def describe_hub_model(name: str, revision: str) -> Checkpoint:
    """A model of the Hub; of one with a revision the step that its name says."""
    label, match = name.split("/")[-1], STEP_IN_REVISION.search(revision)
    own_name, path = (f"{part}@{revision}" if revision else part for part in (label, name))
    return Checkpoint(own_name, path, "hub", run=name if match else "", step=int(match.group(1)) if match else None)


def find_inside(place: Path) -> list[Checkpoint]:
    """The checkpoints of a folder that is one or a run, or of the folders below it, or a GGUF file; [] where there is none."""
    if is_folder(str(place)):
        return FolderSearch(place.resolve()).run()
    is_model = place.is_file() and place.suffix == ".gguf"
    return [printable_checkpoint(registry.module("producers", "gguf").describe_file(place))] if is_model else []


@dataclass
class FolderSearch:
    """A search below one folder, depth first, that goes no further where it has found what it looks for."""

    root: Path
    producers: list[Any] = field(default_factory=lambda: producers_in_order())
    folders: set[Path] = field(default_factory=set)
    name_count: int = 0  # in them
    crowds: list[Path] = field(default_factory=list)

    @property
    def is_cut_short(self) -> bool:
        return len(self.folders) >= MAX_FOLDERS or self.name_count >= MAX_LISTED

    @property
    def limits(self) -> str:
        """Where the search saw less than there is; "" where it saw all."""
        if is_made_up(self.root):
            return f"{printable(str(self.root))} is made up by the system, and holds no models: it is not searched."
        counts = f"{len(self.folders)} folders with {self.name_count:,} names"
        limit = f"Only {counts} were searched: name one nearer to the models."
        partial = [f"Of the files in {printable(str(p))}, {MAX_ENTRIES:,} were looked at: it has more." for p in self.crowds]
        return "  ".join([*([limit] if self.is_cut_short else []), *partial[:3]])

    def run(self) -> list[Checkpoint]:
        """The checkpoints, each in its run, with the method of its run's log."""
        with list_once():
            checkpoints = self.find_all()
        if checkpoints and self.limits:
            warn_once(self.limits)
        return checkpoints

    def find_all(self) -> list[Checkpoint]:
        top = search_root(self.root)
        checkpoints = drop_states([leave_container(adopt_run(c, top), top) for c in self.visit(self.root, 0)])
        checkpoints = [explain_value_head(add_method(c)) for c in share_methods(checkpoints)]
        order = {run: place for place, run in enumerate(dict.fromkeys(c.run or c.path for c in checkpoints))}
        return sorted(map(printable_checkpoint, checkpoints), key=lambda c: (order[c.run or c.path], *step_order(c)))

    def visit(self, folder: Path, depth: int) -> Iterator[Checkpoint]:
        """The checkpoints of a folder, then those of the folders in it that are not its own."""
        if self.is_cut_short or folder.resolve() in self.folders or is_made_up(folder.resolve()):
            return
        self.folders.add(folder.resolve())
        try:
            entries = list_entries(folder)
            self.name_count += len(entries.files) + len(entries.folders)
            self.crowds += [folder] * entries.is_cut_short
            checkpoints = find_by_producer(folder, self.producers)
        except OSError:  # deleted, or not ours to read: its neighbours are looked at all the same
            return
        yield from checkpoints
        is_model_alone = [Path(c.path) for c in checkpoints] == [folder] and holds_model(checkpoints[0])
        by_child = group_by(checkpoints, lambda c: part_below(folder, Path(c.path)))
        for child in self.subfolders(folder, depth) if depth < MAX_DEPTH else ():
            own = by_child.get(child.name, [])
            if own or (checkpoints and parse_number(child.name)):
                if not any(map(holds_model, own)):
                    yield from filter(holds_model, self.visit(child, depth + 1))
            elif not is_model_alone or is_part(child):
                yield from self.visit(child, depth + 1)

    def subfolders(self, folder: Path, depth: int) -> Iterable[Path]:
        """The folders in a folder by name.  Links are followed out of the searched folder only from its first level."""
        try:
            children = [folder / name for name in list_entries(folder).folders if not PASSED_OVER.match(name)]
        except OSError:
            return []
        holds_adapter = (folder / ADAPTER_CONFIG).is_file()
        if parse_number(folder.name) and (holds_adapter or any(POLICY_FOLDER.match(p.name) for p in children)):
            children = [p for p in children if not OTHER_MODEL.search(p.name)]  # what a policy is trained with
        children = sorted((p for p in children if not is_reference_adapter(p)), key=lambda p: natural_order(p.name))
        return [p for p in children if not p.is_symlink() or (depth == 0 and self.root not in p.resolve().parents)]


@cache
def warn_once(text: str) -> None:
    """`watch` looks again and again."""
    LOG.warning("%s", text)


def part_below(folder: Path, place: Path) -> str:
    """The name of what lies in `folder` and leads to `place`; "" where that is not below it."""
    return place.relative_to(folder).parts[0] if folder in place.parents else ""


def is_part(folder: Path) -> bool:
    """Whether a folder in a model's own folder may hold another model of the run."""
    return bool(PARTS.match(folder.name) or CONTAINERS.match(folder.name)) or (folder / ADAPTER_CONFIG).is_file()


def is_reference_adapter(folder: Path) -> bool:
    """Whether a folder holds what peft saves beside a policy's adapter: the one that it was compared with in training."""
    return bool(REFERENCE.match(folder.name)) and (folder / ADAPTER_CONFIG).is_file()


def producers_in_order() -> list[Any]:
    """The producers, those that know most about a folder first."""
    return sorted((registry.module("producers", name) for name in registry.modules("producers")), key=lambda p: int(p.ORDER))


def find_by_producer(folder: Path, producers: Iterable[Any]) -> list[Checkpoint]:
    """The checkpoints that the first producer which recognises this folder finds in it."""
    return next((checkpoints for producer in producers if (checkpoints := list(producer.find(folder)))), [])


def step_order(checkpoint: Checkpoint) -> tuple[bool | int, ...]:
    """Numbered checkpoints by step, epochs by number, then what has no number."""
    epoch = re.search(r"@epoch(\d+)(?:-step(\d+))?$", checkpoint.name)
    numbers = [int(number or 0) for number in epoch.groups()] if epoch else [0, 0]
    return checkpoint.step is None and not epoch, checkpoint.step or 0, *numbers
