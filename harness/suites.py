"""Named sets of tasks with their sizes: one YAML file each in tasks/suites, or anybody's own file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import config, registry
from harness.data import Selection
from harness.own_packages import ROOT
from harness.types import SkilldeltaError, Task, unknown_name

FOLDER = ROOT / "tasks" / "suites"


@dataclass(frozen=True)
class Part:
    """A task of a suite; `limit` examples of each of its groups, the first ones or, with a seed, random ones."""

    task: str
    limit: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class File:
    """What a suite file holds."""

    summary: str
    tasks: tuple[dict[str, Any], ...]  # of Part


@dataclass(frozen=True)
class Suite:
    """A suite file by its name."""

    name: str
    summary: str
    parts: tuple[Part, ...]

    def names(self) -> list[str]:
        return [part.task for part in self.parts]


def known() -> list[Suite]:
    """The project's own suites."""
    return [read(path) for path in sorted(FOLDER.glob("*.yaml"))]


def read(path: Path) -> Suite:
    """The suite in a file, checked: no unknown key, no task twice, no limit below 1."""
    try:
        found = config.build(File, config.load_yaml(path))
        parts = tuple(config.build(Part, part) for part in found.tasks)
    except SkilldeltaError as error:
        raise SkilldeltaError(f"{path} is not a suite: {error}") from error
    if twice := sorted({p.task for p in parts if sum(q.task == p.task for q in parts) > 1}):
        raise SkilldeltaError(f"{path} names {', '.join(twice)} more than once.")
    if small := [p.task for p in parts if p.limit is not None and p.limit < 1]:
        raise SkilldeltaError(f"{path}: the limit of {', '.join(small)} is below 1.")
    if not parts:
        raise SkilldeltaError(f"{path} names no tasks.")
    return Suite(path.stem, found.summary, parts)


def load(name: str) -> tuple[list[Task], dict[str, Selection]]:
    """The tasks of the suite `name` (or of a file, if it ends with .yaml), and which examples of each."""
    suite = read(Path(name)) if name.endswith((".yaml", ".yml")) else own(name)
    return [registry.task(n) for n in suite.names()], {p.task: Selection(p.limit, p.seed) for p in suite.parts}


def own(name: str) -> Suite:
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise unknown_name("suite", name, [p.stem for p in FOLDER.glob("*.yaml")])
    return read(path)
