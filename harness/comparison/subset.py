"""Parts of the results: with or without examples that are named, as those that training data gave away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.comparison.load import Begun, Stored
from harness.integrity import read_json
from harness.types import Json, SkilldeltaError


@dataclass(frozen=True)
class Named:
    """Example ids that files name, and for which tasks the data of training runs were searched (or files of rows)."""

    examples: frozenset[str] = frozenset()
    searched: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Part:
    """Which examples count: all but those left out, and where there is an `only`, those alone."""

    left_out: Named
    only: Named | None = None

    def __call__(self, example: str) -> bool:
        return example not in self.left_out.examples and (self.only is None or example in self.only.examples)


def part(left_out: Sequence[str], only: Sequence[str]) -> Part | None:
    """The part that files name; None: everything."""
    if not left_out and not only:
        return None
    return Part(named(left_out), named(only) if only else None)


def named(files: Sequence[str]) -> Named:
    """The ids in files: a training run's (folder or run.json), whose data gave them away, or text with an id in each line."""
    examples: set[str] = set()
    searched: set[str] = set()
    for file in files:
        path = Path(file) / "run.json" if Path(file).is_dir() else Path(file)
        if not path.is_file():
            raise SkilldeltaError(f"There is no {path}: name a training run's folder, its run.json, or a file of example ids.")
        if path.suffix == ".json":
            found = overlap(path)
            searched |= found.keys()
            examples |= {str(example) for task in found.values() for example in task["examples"]}
        else:
            examples |= set(path.read_text(encoding="utf-8").split())
    return Named(frozenset(examples), frozenset(searched))


def overlap(run: Path) -> Json:
    """The evaluation examples that a run's data give away, by task."""
    found: Json = read_json(run).get("audit", {}).get("overlap")
    if not found:
        raise SkilldeltaError(f"{run} tells of no overlap: train with --overlap_with and the names of the tasks.")
    return found


def of(stored: Stored, chosen: Part) -> tuple[Stored, str]:
    """The results with that part of each cell alone, and what was done in words; cells of which nothing stays are left out."""
    cells: dict[tuple[str, str], Begun] = {}
    kept = whole = 0
    untouched = []
    for key, begun in stored.cells.items():
        mine = replace(begun, part=chosen)
        if key[0] == stored.baseline:
            before, now = len(begun.columns().keys), len(mine.columns().keys)
            whole, kept = whole + before, kept + now
            untouched += [key[1]] if before == now else []
        if mine.columns().keys:
            cells[key] = mine
    if not kept:
        raise SkilldeltaError(f"None of the baseline's {whole} samples is of an example that was asked for.")
    said = f"Only a part of the examples counts here: {kept} of the baseline's {whole} samples."
    return replace(stored, cells=cells), said + unsearched(chosen.left_out.searched, untouched)


def unsearched(searched: frozenset[str], untouched: Sequence[str]) -> str:
    """Says which tasks count as clean though nobody has looked."""
    unknown = [task for task in untouched if task not in searched] if searched else []
    return f"  All of {', '.join(unknown)} counts: the training data were not searched for it by name." if unknown else ""
