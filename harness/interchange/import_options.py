"""What the user says of logs that are imported: their format, the model's name, and the skills of tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from harness.interchange.imported_log import ImportedLog, RefusedLog


@dataclass(frozen=True)
class ImportOptions:
    """`format`: of all the files, or "auto" to recognise each; `name`: of the only model; `skills`: by task."""

    format: str = "auto"
    name: str = ""
    skills: Mapping[str, str] = field(default_factory=dict)

    def named_skill(self, log: ImportedLog | RefusedLog) -> str:
        """The skill that the user names for the task of a log; "" for none."""
        return next((self.skills[name] for name in task_names(log) if name in self.skills), "")

    def describe_unused(self, names: Collection[str]) -> Iterator[str]:
        """A sentence for each task that was given a skill and did not come in: a misspelt one would go unnoticed."""
        for task in self.skills.keys() - set(names):
            yield f"--skill {task}: no task of that name came in; there are: {', '.join(sorted(names)) or 'none'}."


def task_names(log: ImportedLog | RefusedLog) -> list[str]:
    """The task of a log by the name that it gets here, and by its program's own."""
    if isinstance(log, RefusedLog):
        return [log.task, log.task.partition(":")[2]]
    return [log.task.name, str(log.source.get("task") or log.task.name)]
