"""The cells of one or several results folders, loaded for one comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.bounded_files import explain_no_file, is_listed
from harness.comparison import comparability
from harness.comparison.result import AbsentTask, Level
from harness.comparison.sample_table import SampleTable, collapse_draws, read_table
from harness.grouping import group_by
from harness.mean_rules import HABIT, MeanRule, common_rule
from harness.statistics import noise
from harness.store import Cell, Results
from harness.types import SkilldeltaError, unknown_name

if TYPE_CHECKING:
    from harness.noise import Noise
    from harness.records import CellRecord, CheckpointRecord


@dataclass(frozen=True)
class StoredCell:
    """A cell with its task.json."""

    record: CellRecord
    cell: Cell
    includes: Callable[[str], bool] | None = None  # which examples count; None: all

    @property
    def noise(self) -> Noise:
        """The noise that `skilldelta noise` measured; NOT_MEASURED where nobody ran it."""
        return self.record.noise or noise.NOT_MEASURED

    def columns(self) -> SampleTable:
        """Its samples; for a pass@k task one row for each problem."""
        table = read_table(self.cell, self.includes)
        k = self.record.task.pass_at
        return collapse_draws(table, k) if k else table


@dataclass(frozen=True)
class LoadedResults:
    """Every cell by (checkpoint, task); `checkpoints`: each checkpoint.json in order, the baseline first."""

    baseline: str
    checkpoints: dict[str, CheckpointRecord]
    cells: dict[tuple[str, str], StoredCell]
    empty: dict[tuple[str, str], CellRecord] = field(default_factory=dict)  # cells without a sample, such as failed ones
    rule: MeanRule = field(default_factory=MeanRule)  # what tasks and skills weigh

    @cached_property
    def tasks(self) -> dict[str, CellRecord]:
        """The tasks that are compared, which are the baseline's, each with the baseline's task.json."""
        return {task: cell.record for (who, task), cell in self.cells.items() if who == self.baseline}

    def select_examples(self, includes: Callable[[str], bool]) -> LoadedResults:
        """The results with only the samples of some examples; a cell that has none of them is an empty one, with its reason."""
        cells, empty = {}, dict(self.empty)
        for key, cell in self.cells.items():
            part = replace(cell, includes=both(cell.includes, includes))
            if part.columns().keys:
                cells[key] = part
            else:
                empty[key] = replace(cell.record, why="none of its examples counts here")
        return replace(self, cells=cells, empty=empty)

    def candidates(self, task: str) -> Iterator[tuple[str, StoredCell]]:
        """The other checkpoints that have samples of a task."""
        for name in self.checkpoints:
            if name != self.baseline and (name, task) in self.cells:
                yield name, self.cells[name, task]

    def noise_rates(self, candidate: str, task: str) -> list[float]:
        """The noise rates of the baseline and a candidate, as far as they were measured."""
        pair = (self.cells[self.baseline, task].noise, self.cells[candidate, task].noise)
        return [noise.rate for noise in pair if noise.n]

    def skills(self) -> dict[str, list[str]]:
        """The baseline's tasks by skill, without variants of another task."""
        return group_by(self.averaged_tasks(), lambda task: self.tasks[task].task.skill)

    def is_variant(self, task: str) -> bool:
        """Whether a task scores the answers to another task of these results again: shown, but not averaged with that one."""
        return self.tasks[task].task.variant_of in self.tasks

    def averaged_tasks(self) -> list[str]:
        """The baseline's tasks that count in means: no variants of another task, and no habits."""
        return [task for task, cell in self.tasks.items() if not self.is_variant(task) and cell.task.skill != HABIT]

    def accept_differences(self, allow: Sequence[str]) -> tuple[str, ...]:
        """The differences in how results were made, in words.  SkilldeltaError where `allow` does not name one of them."""
        differences = [
            difference
            for task, record in self.tasks.items()
            for difference in comparability.setting_differences(task, record, {n: b.record for n, b in self.candidates(task)})
        ]
        return comparability.accept_differences(differences, allow, self.baseline)

    def absent_tasks(self) -> tuple[AbsentTask, ...]:
        """The tasks that one checkpoint has no samples of, though another has, or though it was to be scored on them."""
        absent = []
        for name in self.checkpoints:
            others = self.checkpoints.keys() - {name} if name == self.baseline else {self.baseline}
            records_by_task = {task: cell.record for (who, task), cell in self.cells.items() if who in others}
            empty = {task: record for (who, task), record in self.empty.items() if who == name}
            records_by_task |= {task: record for task, record in empty.items() if record.state != "not comparable"}
            for task, record in records_by_task.items():
                if (name, task) not in self.cells and record.task.variant_of not in self.tasks:
                    own = self.empty.get((name, task))
                    absent.append(AbsentTask(name, task, record.task.skill, describe_empty(own) if own else "not scored"))
        return tuple(absent)

    def missing_notes(self) -> tuple[str, ...]:
        """Sentences on missing data: tasks that only one side has, and cells that are not finished."""
        lines = []
        for name in self.checkpoints:
            own_tasks = {task for who, task in self.cells if who == name}
            if absent := [t for t in self.tasks if t not in own_tasks]:
                lines.append(f"{name} has no {', '.join(absent)}: no score there, nor for their skills, nor on average.")
            if extra := sorted(own_tasks - set(self.tasks)):
                lines.append(f"{name} also has {', '.join(extra)}, which {self.baseline} has not: left out.")
        for (name, task), cell in self.cells.items():
            if (state := cell.record.state) == "decided" and not cell.record.decision:
                lines.append(
                    f"{name} on {task} was asked a part of its items: others are held out, or a choice needed no more; a "
                    "p-value here does not allow for having stopped when it was decided."
                )
            elif state == "decided":
                lines.append(
                    f"{name} on {task} was stopped when it was decided: the sequential verdict in its task.json holds; "
                    "the p-value and interval here do not allow for having stopped then."
                )
            elif state != "done":
                lines.append(f"{name} on {task} is {state}, not done: what is there so far is counted.")
        for (task, reason), cells in group_by(self.empty.items(), lambda item: (item[0][1], describe_empty(item[1]))).items():
            names = sorted((name for (name, _), _ in cells), key=list(self.checkpoints).index)
            have = "have" if len(names) > 1 else "has"
            lines.append(f"{', '.join(names)} on {task} {have} no samples ({reason.rstrip('.')}).")
        return tuple(lines)


def both(first: Callable[[str], bool] | None, second: Callable[[str], bool]) -> Callable[[str], bool]:
    """Whether an example counts by both; the first may be missing."""
    return second if first is None else lambda example: first(example) and second(example)


def describe_empty(record: CellRecord) -> str:
    """Why a cell has no samples: its state, with the reason or the last line of its error."""
    lines = [line.strip() for line in (record.why or record.traceback).splitlines() if line.strip()]
    return f"{record.state}: {lines[-1]}" if lines else record.state


def merge_records(earlier: CheckpointRecord | None, record: CheckpointRecord) -> CheckpointRecord:
    """One record of a checkpoint that two folders hold; `elsewhere` lists the further folders.

    SkilldeltaError where the fingerprints show two models under one name.
    """
    # Recorded outputs have a fingerprint of their files alone ("outputs"), which differ from task to task.
    if earlier is None:
        return record
    old, new = earlier.fingerprint, record.fingerprint
    if differing := sorted(k for k in old.keys() & new.keys() - {"outputs"} if old[k] != new[k]):
        raise SkilldeltaError(
            f"{earlier.results} and {record.results} each hold a checkpoint named {record.name!r}, but not the same one: "
            f"they differ in {', '.join(differing)}.  Score one of them under another --name, or leave one folder out."
        )
    return replace(earlier, elsewhere=(*earlier.elsewhere, record.results))


def load_results(
    folders: Sequence[Path], baseline: str, candidates: Sequence[str] = (), rule: MeanRule | None = None
) -> LoadedResults:
    """Every checkpoint and cell of the folders, or only those of the baseline and some candidates.

    `rule`: what tasks and skills weigh; None: as the folders say.  SkilldeltaError for an unknown checkpoint, a cell that two
    folders hold, or a baseline without samples.
    """
    rule = common_rule(folders) if rule is None else rule
    checkpoints: dict[str, CheckpointRecord] = {}
    cells: dict[tuple[str, str], StoredCell] = {}
    empty: dict[tuple[str, str], CellRecord] = {}
    for folder in folders:
        results = Results(folder)
        for name, checkpoint in results.checkpoints().items():
            checkpoints[name] = merge_records(checkpoints.get(name), checkpoint)
        for name, own_record, cell in results.cells():
            record = rule.relabel(own_record)
            key = (name, record.task.name)
            if key in cells:
                raise SkilldeltaError(
                    f"{name} on {key[1]} is in two results folders, {cells[key].cell.folder} and {cell.folder}: leave one out."
                )
            if is_listed(cell.samples_file) and (explain_no_file(cell.samples_file) or cell.samples_file.stat().st_size):
                cells[key] = StoredCell(record, cell)
            else:
                empty[key] = record
    if not checkpoints:
        raise SkilldeltaError("The results hold no checkpoint yet: nothing was scored into them, or none could be loaded.")
    names = [baseline, *(candidates or checkpoints)]
    for name in names:
        if name not in checkpoints:
            raise SkilldeltaError(str(unknown_name("checkpoint", name, checkpoints)))
    records = {name: checkpoints[name] for name in names}
    of_these = {key: stored_cell for key, stored_cell in cells.items() if key[0] in records}
    without_samples = {key: record for key, record in empty.items() if key[0] in records and key not in cells}
    result = LoadedResults(baseline, records, of_these, without_samples, rule)
    if not result.tasks:
        raise SkilldeltaError(f"The baseline {baseline} has no samples in {', '.join(map(str, folders))}: score it first.")
    return result


def weights_by_level(
    skills: Mapping[str, Sequence[str]], tasks: Mapping[str, object], rule: MeanRule
) -> list[tuple[Level, str, dict[str, float]]]:
    """Every task, every skill whose tasks are all there, and the average of skills, each with the shares of its tasks."""
    complete = {name: names for name, names in skills.items() if all(t in tasks for t in names)}
    levels: list[tuple[Level, str, dict[str, float]]] = [("task", t, {t: 1.0}) for t in tasks]
    levels += [("skill", s, dict(zip(names, rule.task_shares(names), strict=True))) for s, names in complete.items()]
    if len(complete) == len(skills):
        levels.append(("average", "average", rule.shares(complete)))
    return levels
