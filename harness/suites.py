"""Named sets of tasks with their sizes: one YAML file each in tasks/suites, or a user's own file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import config, registry
from harness.data import ExampleSelection
from harness.own_packages import ROOT
from harness.types import SkilldeltaError, Task, unknown_name

FOLDER = ROOT / "tasks" / "suites"


@dataclass(frozen=True)
class SuitePart:
    """A task of a suite; `limit` examples of each of its groups, the first ones or, with a seed, random ones."""

    task: str
    limit: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class SuiteFile:
    """What a suite file holds."""

    summary: str
    tasks: tuple[dict[str, Any], ...]  # of SuitePart


@dataclass(frozen=True)
class Suite:
    """A suite file by its name."""

    name: str
    summary: str
    parts: tuple[SuitePart, ...]

    def names(self) -> list[str]:
        return [part.task for part in self.parts]


def bundled_suites() -> list[Suite]:
    return [read_suite(path) for path in sorted(FOLDER.glob("*.yaml"))]


def read_suite(path: Path) -> Suite:
    """The suite in a file.  SkilldeltaError for an unknown key, a task that occurs twice, and a limit below 1."""
    try:
        content = config.build_config(SuiteFile, config.load_yaml(path))
        parts = tuple(config.build_config(SuitePart, part) for part in content.tasks)
    except SkilldeltaError as error:
        raise SkilldeltaError(f"{path} is not a suite: {error}") from error
    if repeated_names := sorted({p.task for p in parts if sum(q.task == p.task for q in parts) > 1}):
        raise SkilldeltaError(f"{path} names {', '.join(repeated_names)} more than once.")
    if tasks_without_examples := [p.task for p in parts if p.limit is not None and p.limit < 1]:
        raise SkilldeltaError(f"{path}: the limit of {', '.join(tasks_without_examples)} is below 1.")
    if not parts:
        raise SkilldeltaError(f"{path} names no tasks.")
    return Suite(path.stem, content.summary, parts)


def load_suite(
    name: str, include: Sequence[Path] = (), prompts: registry.PromptSettings = registry.PromptSettings()
) -> tuple[list[Task], dict[str, ExampleSelection]]:
    """The tasks of the suite `name` (or of a file, if it ends with .yaml), and which examples of each."""
    suite = read_suite(Path(name)) if name.endswith((".yaml", ".yml")) else find_suite(name)
    return [registry.task(n, include, prompts) for n in suite.names()], {
        p.task: ExampleSelection(p.limit, p.seed) for p in suite.parts
    }


def find_suite(name: str) -> Suite:
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise unknown_name("suite", name, [p.stem for p in FOLDER.glob("*.yaml")])
    return read_suite(path)
