"""Parts of the results: with or without examples that are named, as those that training data gave away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.comparison.stored import Begun, Stored
from harness.integrity import read_json
from harness.types import SkilldeltaError


@dataclass(frozen=True)
class Part:
    """Which examples count: all but `left_out`, and where there is an `only`, those alone."""

    left_out: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def __call__(self, example: str) -> bool:
        return example not in self.left_out and (self.only is None or example in self.only)


def part(left_out: Sequence[str], only: Sequence[str]) -> Part | None:
    """The part that files name; None: everything."""
    if not left_out and not only:
        return None
    return Part(named(left_out), named(only) if only else None)


def named(files: Sequence[str]) -> frozenset[str]:
    """The ids in files: a training run's (folder or run.json), whose data gave them away, or text with an id in each line."""
    found: set[str] = set()
    for file in files:
        path = Path(file) / "run.json" if Path(file).is_dir() else Path(file)
        if not path.is_file():
            raise SkilldeltaError(f"There is no {path}: name a training run's folder, its run.json, or a file of example ids.")
        found |= given_away(path) if path.suffix == ".json" else set(path.read_text(encoding="utf-8").split())
    return frozenset(found)


def given_away(run: Path) -> set[str]:
    """The evaluation examples that a run's data share n-grams with."""
    overlap = read_json(run).get("audit", {}).get("overlap")
    if not overlap:
        raise SkilldeltaError(f"{run} tells of no overlap: train with --overlap_with and the names of the tasks.")
    return {str(example) for file in overlap.values() for example in file["examples"]}


def of(stored: Stored, chosen: Part) -> tuple[Stored, str]:
    """The results with that part of each cell alone, and what was done in words; cells of which nothing stays are left out."""
    cells: dict[tuple[str, str], Begun] = {}
    kept = whole = 0
    for key, begun in stored.cells.items():
        mine = replace(begun, part=chosen)
        if key[0] == stored.baseline:
            whole += len(begun.columns().keys)
            kept += len(mine.columns().keys)
        if mine.columns().keys:
            cells[key] = mine
    if not kept:
        raise SkilldeltaError(f"None of the baseline's {whole} samples is of an example that was asked for.")
    return replace(stored, cells=cells), f"Only a part of the examples counts here: {kept} of the baseline's {whole} samples."
