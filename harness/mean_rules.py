"""How scores of tasks become scores of skills and an average: weights and skills of a suite, kept in the results folder.

RESULTS/_suite.json   the rule of the last suite with weights or skills of its own; without it all tasks and skills weigh alike
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from harness.atomic_files import write_json
from harness.bounded_files import is_listed, read_stored_json
from harness.records import CellRecord, build_plain
from harness.types import SkilldeltaError

FILE = "_suite.json"
MAX_WEIGHT = 1e6
HABIT = "habits"  # the skill of tasks that measure what a model does, not how well: shown, but in no mean


@dataclass(frozen=True)
class MeanRule:
    """`mean`: of skills, each of them the mean of its tasks; or of tasks, so that a skill counts as much as its tasks do.

    What is not named weighs 1, and has the skill that its task.json says.
    """

    suite: str = ""
    skills: Mapping[str, str] = field(default_factory=dict)  # of tasks that the suite gives another one
    tasks: Mapping[str, float] = field(default_factory=dict)  # the weight of each task of the suite within its skill
    weights: Mapping[str, float] = field(default_factory=dict)  # of skills in the average
    mean: Literal["skills", "tasks"] = "skills"

    def __post_init__(self) -> None:
        for name, weight in (*self.tasks.items(), *self.weights.items()):
            if not 0 < weight <= MAX_WEIGHT:
                raise SkilldeltaError(
                    f"The weight of {name} is {weight:g}: write a number above 0, or leave it out of the suite."
                )
        if self.mean == "tasks" and self.weights:
            raise SkilldeltaError(
                "`mean: tasks` averages tasks, so that weights of skills have no effect: leave one of them out."
            )

    @property
    def is_plain(self) -> bool:
        """Whether all tasks and skills weigh alike, and no task has another skill than its own."""
        weights = {*self.tasks.values(), *self.weights.values()}
        return not self.skills and weights <= {1.0} and self.mean == "skills"

    def task_shares(self, names: Sequence[str]) -> list[float]:
        """The shares of a skill's tasks in its mean."""
        weights = self.task_weights(names)
        return [weight / sum(weights) for weight in weights]

    def task_weights(self, names: Sequence[str]) -> list[float]:
        return [self.tasks.get(name, 1.0) for name in names]

    def skill_weights(self, skills: Mapping[str, Sequence[str]]) -> list[float]:
        """The weights of skills in the average; `skills`: the tasks of each."""
        if self.mean == "tasks":
            return [sum(self.task_weights(names)) for names in skills.values()]
        return [self.weights.get(skill, 1.0) for skill in skills]

    def skill_shares(self, skills: Mapping[str, Sequence[str]]) -> list[float]:
        weights = self.skill_weights(skills)
        return [weight / sum(weights) for weight in weights]

    def shares(self, skills: Mapping[str, Sequence[str]]) -> dict[str, float]:
        """The share of each task in the average."""
        weights, total = self.skill_weights(skills), sum(self.skill_weights(skills))
        return {
            task: (weight * own) / (total * sum(self.task_weights(names)))
            for weight, names in zip(weights, skills.values(), strict=True)
            for task, own in zip(names, self.task_weights(names), strict=True)
        }

    def relabel(self, record: CellRecord) -> CellRecord:
        """A cell's record under the skill that the suite gives its task."""
        skill = self.skills.get(record.task.name, record.task.skill)
        return record if skill == record.task.skill else replace(record, task=replace(record.task, skill=skill))

    def notes(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """Sentences on the rule, and on how a comparison's tasks differ from the suite's; none where it is plain."""
        if self.is_plain:
            return ()
        weights = [f"{name} {weight:g}" for name, weight in (*self.tasks.items(), *self.weights.items()) if weight != 1]
        text = f"Means follow the suite {self.suite}: the average is the mean of {self.mean}; "
        text += f"weights: {', '.join(weights)}." if weights else "all weigh alike."
        absent, others = [t for t in self.tasks if t not in tasks], [t for t in tasks if t not in self.tasks]
        parts = (
            (f"The suite has also {', '.join(absent)}: not scored here, so the others share the weight.", absent),
            (f"The suite does not name {', '.join(others)}: of weight 1.", others),
        )
        return (text, *(sentence for sentence, names in parts if names))


def store_rule(folder: Path, rule: MeanRule) -> MeanRule | None:
    """Keeps a rule in a results folder; gives another one that it replaces.  A plain rule leaves the folder as it is."""
    before = read_rule(folder)
    if rule.is_plain or rule == before:
        return None
    write_json(folder / FILE, asdict(rule))
    return None if before.is_plain else before


def read_rule(folder: Path) -> MeanRule:
    """The rule of a results folder.  SkilldeltaError for a damaged file."""
    path = folder / FILE
    if not is_listed(path):
        return MeanRule()
    try:
        return build_plain(MeanRule, read_stored_json(path))
    except (SkilldeltaError, TypeError) as error:
        raise SkilldeltaError(f"{path}: {error}") from error


def common_rule(folders: Sequence[Path]) -> MeanRule:
    """The rule of several results folders.  SkilldeltaError where two have different ones."""
    rules = {str(folder): rule for folder in folders if not (rule := read_rule(folder)).is_plain}
    first = next(iter(rules.items()), None)
    for folder, rule in rules.items():
        if first and rule != first[1]:
            raise SkilldeltaError(
                f"{first[0]} and {folder} average differently (suites {first[1].suite} and {rule.suite}): say how with --suite "
                "FILE, or --suite none where all tasks and skills weigh alike."
            )
    return first[1] if first else MeanRule()
