"""Named sets of tasks with their sizes: one YAML file each in tasks/suites, or a user's own file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from harness import config, registry
from harness.data import ExampleSelection
from harness.mean_rules import MeanRule
from harness.own_packages import ROOT
from harness.types import SkilldeltaError, Task, unknown_name
from harness.yaml_files import find_yaml

FOLDER = ROOT / "tasks" / "suites"


@dataclass(frozen=True)
class SuitePart:
    """A task of a suite; `limit` examples of each of its groups, the first ones or, with a seed, random ones.

    `skill`: another one than the task's own, as an lm-eval task has none; `weight`: in the mean of its skill.
    """

    task: str
    limit: int | None = None
    seed: int | None = None
    skill: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class SuiteFile:
    """What a suite file holds."""

    summary: str
    tasks: tuple[dict[str, Any], ...]  # of SuitePart
    limit: int | None = None  # of tasks that have none of their own, and `seed` likewise
    seed: int | None = None
    weights: Mapping[str, float] = field(default_factory=dict)  # of skills in the average
    mean: Literal["skills", "tasks"] = "skills"  # what the average is the mean of
    template: str = ""  # the chat template that its prompts have where --apply-chat-template names none; "": the model's own


@dataclass(frozen=True)
class Suite:
    """A suite file by its name."""

    name: str
    summary: str
    parts: tuple[SuitePart, ...]
    rule: MeanRule = field(default_factory=MeanRule)
    template: str = ""

    def names(self) -> list[str]:
        return [part.task for part in self.parts]


def bundled_suites() -> list[Suite]:
    return [read_suite(path) for path in sorted(FOLDER.glob("*.yaml"))]


def read_suite(path: Path) -> Suite:
    """The suite in a file.

    SkilldeltaError for an unknown key, a task that occurs twice, a limit below 1, and a weight that is none.
    """
    try:
        content = config.build_config(SuiteFile, config.load_yaml(path))
        defaults = {"limit": content.limit, "seed": content.seed}
        parts = tuple(config.build_config(SuitePart, defaults | part) for part in content.tasks)
        skills, weights = {p.task: p.skill for p in parts if p.skill}, {p.task: p.weight for p in parts}
        rule = MeanRule(path.stem, skills, weights, content.weights, content.mean)
    except SkilldeltaError as error:
        raise SkilldeltaError(f"{path} is not a suite: {error}") from error
    if repeated_names := sorted(n for n, count in Counter(p.task for p in parts).items() if count > 1):
        raise SkilldeltaError(f"{path} names {', '.join(repeated_names)} more than once.")
    if tasks_without_examples := [p.task for p in parts if p.limit is not None and p.limit < 1]:
        raise SkilldeltaError(f"{path}: the limit of {', '.join(tasks_without_examples)} is below 1.")
    if not parts:
        raise SkilldeltaError(f"{path} names no tasks.")
    return Suite(path.stem, content.summary, parts, rule, content.template)


def load_suite(
    name: str, include: Sequence[Path] = (), prompts: registry.PromptSettings = registry.PromptSettings()
) -> tuple[list[Task], dict[str, ExampleSelection]]:
    """The tasks of the suite `name` (or of a file, if it ends with .yaml), and which examples of each."""
    suite = find_suite(name)
    tasks = {name: registry.task(name, include, prompts) for name in suite.names()}
    tasks |= {name: replace(tasks[name], skill=skill) for name, skill in suite.rule.skills.items()}
    skills = {task.skill for task in tasks.values()}
    if unknown_skills := [skill for skill in suite.rule.weights if skill not in skills]:
        raise SkilldeltaError(f"The suite {suite.name} weighs skills: {unknown_name('skill', unknown_skills[0], skills)}")
    return list(tasks.values()), {p.task: ExampleSelection(p.limit, p.seed) for p in suite.parts}


def find_suite(name: str) -> Suite:
    """The suite of that name, or in that file, if the name ends with .yaml."""
    return read_suite(find_yaml(name, "suite", FOLDER))
