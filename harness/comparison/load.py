"""What results folders hold, brought together for one comparison: what is missing, what was made unlike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness import registry
from harness.comparison import comparability
from harness.comparison.pass_at_k import collapse
from harness.comparison.sample_table import Columns, read
from harness.store import Cell, Results
from harness.types import Json, SkilldeltaError


@dataclass(frozen=True)
class Begun:
    """A cell with its task.json."""

    about: Json
    cell: Cell
    part: Callable[[str], bool] | None = None  # which examples count; None: all

    def columns(self) -> Columns:
        """Its samples; for a pass@k task a row for each problem."""
        found = read(self.cell, self.part)
        k = self.about["task"].get("pass_at", 0)
        return collapse(found, k) if k else found


@dataclass(frozen=True)
class Stored:
    """Every cell by (checkpoint, task); `checkpoints` as checkpoint.json says, in order, the baseline first."""

    baseline: str
    checkpoints: dict[str, Json]
    cells: dict[tuple[str, str], Begun]

    @cached_property
    def tasks(self) -> dict[str, Json]:
        """The baseline's tasks, with its task.json: the ones that are compared."""
        return {task: begun.about for (who, task), begun in self.cells.items() if who == self.baseline}

    def candidates(self, task: str) -> Iterator[tuple[str, Begun]]:
        """Who else has been asked this task."""
        for name in self.checkpoints:
            if name != self.baseline and (name, task) in self.cells:
                yield name, self.cells[name, task]

    def skills(self) -> dict[str, list[str]]:
        """The baseline's tasks under their skills, less those that only stand beside another (see `beside`)."""
        found: dict[str, list[str]] = {}
        for name, about in self.tasks.items():
            if self.beside(name):
                continue
            found.setdefault(about["task"]["skill"], []).append(name)
        return found

    def beside(self, task: str) -> bool:
        """Whether a task is another reading of one that is there as well: it is shown, and never averaged with that one."""
        return self.tasks[task]["task"].get("beside") in self.tasks

    def twins(self) -> list[list[str]]:
        """Tasks that hold the same rows, and so are not independent."""
        alike: dict[str, list[str]] = {}
        for name, about in self.tasks.items():
            if self.beside(name):
                continue
            alike.setdefault(str(about.get("asked", {}).get("data", name)), []).append(name)
        return [names for names in alike.values() if len(names) > 1]

    def admit(self, allow: Sequence[str]) -> tuple[str, ...]:
        """The differences that were allowed, in words; raises where one was not."""
        found = [
            difference
            for task, about in self.tasks.items()
            for difference in comparability.unlike(task, about, {n: b.about for n, b in self.candidates(task)})
        ]
        return comparability.admit(found, allow, self.baseline)

    def incomplete(self) -> tuple[str, ...]:
        """What is missing, in words: tasks that only one side has, cells that were not finished."""
        lines = []
        for name in self.checkpoints:
            mine = {task for who, task in self.cells if who == name}
            if lacks := [t for t in self.tasks if t not in mine]:
                lines.append(f"{name} has no {', '.join(lacks)}: no score there, nor for their skills, nor on average.")
            if alone := sorted(mine - set(self.tasks)):
                lines.append(f"{name} also has {', '.join(alone)}, which {self.baseline} has not: left out.")
        for (name, task), begun in self.cells.items():
            if (state := begun.about.get("state", "done")) == "decided":
                lines.append(
                    f"{name} on {task} was stopped when it was decided: the sequential verdict in its task.json holds; "
                    "the p-value and interval here do not allow for having stopped then."
                )
            elif state != "done":
                lines.append(f"{name} on {task} is {state}, not done: what is there so far is counted.")
        return tuple(lines)


def joined(known: Json | None, found: Json) -> Json:
    """A checkpoint that two folders hold: `elsewhere` names the further ones.  Two models of one name are refused.

    What was recorded is known by its files alone, which differ from task to task.
    """
    if known is None:
        return found
    ours, theirs = known.get("fingerprint", {}), found.get("fingerprint", {})
    if unlike := sorted(k for k in ours.keys() & theirs.keys() - {"outputs"} if ours[k] != theirs[k]):
        raise SkilldeltaError(
            f"{known['results']} and {found['results']} each hold a checkpoint named {found['name']!r}, but not the same one: "
            f"they differ in {', '.join(unlike)}.  Score one of them under another --name, or leave one folder out."
        )
    return {**known, "elsewhere": [*known.get("elsewhere", []), found["results"]]}


def gather(folders: Sequence[Path], baseline: str, candidates: Sequence[str] = ()) -> Stored:
    """Every checkpoint and cell of the folders (or only some `candidates`'); a cell that two folders hold is an error."""
    checkpoints: dict[str, Json] = {}
    cells: dict[tuple[str, str], Begun] = {}
    for folder in folders:
        results = Results(folder)
        for name, about in results.checkpoints().items():
            checkpoints[name] = joined(checkpoints.get(name), {**about, "results": str(folder)})
        for name, about, cell in results.cells():
            key = (name, about["task"]["name"])
            if key in cells:
                raise SkilldeltaError(
                    f"{name} on {key[1]} is in two results folders, {cells[key].cell.folder} and {cell.folder}: leave one out."
                )
            if cell.samples_file.exists() and cell.samples_file.stat().st_size:
                cells[key] = Begun(about, cell)
    wanted = [baseline, *(candidates or checkpoints)]
    for name in wanted:
        if name not in checkpoints:
            raise SkilldeltaError(str(registry.unknown("checkpoint", name, checkpoints)))
    ordered = {name: checkpoints[name] for name in wanted}
    stored = Stored(baseline, ordered, {key: begun for key, begun in cells.items() if key[0] in ordered})
    if not stored.tasks:
        raise SkilldeltaError(f"The baseline {baseline} has no samples in {', '.join(map(str, folders))}: score it first.")
    return stored
