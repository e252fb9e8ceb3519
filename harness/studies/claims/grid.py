"""The grid of a study as study.json tells it: every trained policy and reward model under its labels, with its seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from harness import config
from harness.store import read_json
from harness.types import SkilldeltaError

FILE = "study.json"
NONE = "-"  # the value of a label that does not apply
LARGEST = 64_000_000  # bytes of a study.json or run.json that are read
ORDER = ("data", "size", "base", "reward", "reward_data", "prompts")  # of labels, as they are read out
LINK = ("reward", "reward_data", "size")  # the labels by which a policy's reward model is found, beside the seed
START = "sft"  # the method of the models that all others began from

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Accuracy:
    """How often a reward model puts the right answer above the wrong one, on held-out pairs."""

    share: Annotated[float, Field(ge=0, le=1)]
    n: Annotated[int, Field(gt=0)]
    right: int


@dataclass(frozen=True, eq=False)
class Entry:
    """One trained model.  `name`: in the results folder where it has been asked, else ""."""

    name: str
    run: str
    labels: Labels
    seed: int
    accuracy: Accuracy | None = None  # of a reward model

    @cached_property
    def recipe(self) -> tuple[tuple[str, str], ...]:
        """The labels as a key: entries that are alike in it differ by their seed alone."""
        return tuple(sorted(self.labels.items()))

    @property
    def words(self) -> str:
        """The recipe for people: the method, then what applies; a reward model's data only where they are not the policy's."""
        shown = [
            f"{label.replace('_', ' ')} {self.labels[label]}"
            for label in (*(k for k in ORDER if k in self.labels), *sorted(self.labels.keys() - set(ORDER) - {"method"}))
            if self.labels[label] != NONE and not (label == "reward_data" and self.labels[label] == self.labels.get("data"))
        ]
        return ", ".join([*([self.labels["method"]] if "method" in self.labels else []), *shown])

    @property
    def tuned_by(self) -> tuple[str, ...]:
        """What tells the reward model that a policy was tuned with; () for none."""
        return (*(self.labels.get(k, NONE) for k in LINK), str(self.seed)) if self.labels.get(LINK[0], NONE) != NONE else ()

    @property
    def given(self) -> bool:
        """Is this a model that the others began from?"""
        return self.labels.get("method") == START


@dataclass(frozen=True)
class Cell:
    """A policy, as in study.json."""

    checkpoint: str
    run: str
    labels: dict[str, str]
    seed: int


@dataclass(frozen=True)
class Reward:
    """A reward model, as in study.json."""

    name: str
    run: str
    labels: dict[str, str]
    seed: int
    accuracy: Accuracy | None = None
    best_of_n: str = ""


@dataclass(frozen=True)
class BestOf:
    """The folder with the answers that reward models chose out of n, and the checkpoint there that chose nothing."""

    results: str
    baseline: str
    n: int


@dataclass(frozen=True)
class File:
    """study.json."""

    name: str
    baseline: str
    results: str
    cells: tuple[Cell, ...]
    rewards: tuple[Reward, ...] = ()
    best_of: BestOf | None = None
    claims: str = ""


@dataclass(frozen=True)
class Grid:
    """A study's folder and what was made there."""

    folder: Path
    file: File
    cells: tuple[Entry, ...]
    rewards: tuple[Entry, ...]
    costs: dict[str, Mapping[str, Any]] = field(default_factory=dict, compare=False)

    def vocabulary(self) -> dict[str, set[str]]:
        """Every label with the values that it has in this grid."""
        return values([*self.cells, *self.rewards])

    def reward_of(self, cell: Entry) -> Entry | None:
        """The reward model that a policy was tuned with, where the study made it."""
        return next((r for r in self.rewards if r.tuned_by == cell.tuned_by), None)

    def cost(self, entry: Entry, kind: str) -> float | None:
        """FLOPs or seconds that a run took, its reward model's too; None where a run.json of them does not say."""
        parts = [entry, self.reward_of(entry)] if entry.tuned_by else [entry]
        found = [spent(self.about(part), kind) if part else None for part in parts]
        return None if None in found else sum(f for f in found if f is not None)

    def about(self, entry: Entry) -> Mapping[str, Any]:
        """What a run's run.json says; {} where there is none."""
        if entry.run not in self.costs:
            path = self.folder / entry.run / "run.json"
            self.costs[entry.run] = read_json(small(path)) if path.is_file() else {}
        return self.costs[entry.run]


def spent(about: Mapping[str, Any], kind: str) -> float | None:
    told = about.get(kind)
    total = sum(told.values()) if isinstance(told, Mapping) else told  # seconds are told by phase
    return float(total) if isinstance(total, int | float) and total > 0 else None


def values(entries: Iterable[Entry]) -> dict[str, set[str]]:
    """Every label of some entries, with its values."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        for label, value in entry.labels.items():
            found.setdefault(label, set()).add(value)
    return found


def read(folder: Path) -> Grid:
    """The grid of a study's folder, as study.json has it."""
    path = folder / FILE
    if not path.is_file():
        raise SkilldeltaError(f"{folder} holds no {FILE}: it is no study's folder (`skilldelta study FILE.yaml -o {folder}`).")
    try:
        facts = config.build(File, {k: v for k, v in read_json(small(path)).items() if k in File.__dataclass_fields__})
    except SkilldeltaError as error:
        raise SkilldeltaError(f"{path} does not tell a study: {error}") from error
    inside(folder, [facts.results, *([facts.best_of.results] if facts.best_of else [])])
    cells = tuple(Entry(c.checkpoint, c.run, c.labels, c.seed) for c in facts.cells)
    rewards = tuple(Entry(r.best_of_n, r.run, r.labels, r.seed, r.accuracy) for r in facts.rewards)
    return Grid(folder, facts, cells, rewards)


def small(path: Path) -> Path:
    """The path, if its file is of a size that such a file can have."""
    if path.stat().st_size > LARGEST:
        raise SkilldeltaError(f"{path} has {path.stat().st_size:,} bytes: more than the {LARGEST:,} that are read.")
    return path


def inside(folder: Path, names: Sequence[str]) -> None:
    """Refuses a results folder that lies outside of the study's."""
    for name in names:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise SkilldeltaError(f"{folder / FILE} names {name!r}, which lies outside of the study's folder.")
