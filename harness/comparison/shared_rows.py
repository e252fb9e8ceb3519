"""Which rows the tasks of a comparison share, such as the questions of TruthfulQA's mc1 and mc2 or HumanEval's problems.

Tasks over the same rows are not independent.  Rows are numbered over all tasks, and what tasks share has one number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.problem_numbers import problem_numbers
from harness.statistics.aggregates import Ints
from harness.store import Results

if TYPE_CHECKING:
    from harness.comparison.load import LoadedResults


@dataclass(frozen=True)
class RowNumbers:
    """`numbers`: for each task the numbers of its clusters, in alphabetical order of their names.

    `groups`: the tasks that share rows with each other; a task that shares none is a group of its own.
    """

    numbers: Mapping[str, Ints]
    groups: Sequence[Sequence[str]]

    @property
    def any_shared(self) -> bool:
        return any(len(group) > 1 for group in self.groups)

    def group_of(self, task: str) -> Sequence[str]:
        return next(group for group in self.groups if task in group)


@dataclass
class RowRegistry:
    """Numbers for rows: the same number for whatever identifies a row that another task has numbered."""

    numbers: dict[str, int] = field(default_factory=dict)  # by identifier
    count: int = 0

    def register(self, clusters: Sequence[Sequence[str]]) -> Ints:
        """[clusters] of one task: the number of each, from its identifiers, the surest first."""
        used_numbers: set[int] = set()
        row_numbers = []
        for identifiers in clusters:
            free = [self.numbers[i] for i in identifiers if i in self.numbers and self.numbers[i] not in used_numbers]
            row_numbers.append(free[0] if free else self.count)
            self.count += not free
            used_numbers.add(row_numbers[-1])
        for identifiers, number in zip(clusters, row_numbers, strict=True):
            for identifier in identifiers:
                self.numbers.setdefault(identifier, number)
        return np.array(row_numbers, np.int64)


def number_rows(results: LoadedResults) -> RowNumbers:
    """The rows of every task of the baseline; a task that reads the answers of another again stands alone."""
    in_means = results.averaged_tasks()
    registry = RowRegistry()
    numbers: dict[str, Ints] = {}
    owners: dict[int, set[str]] = {}
    for task in results.tasks:
        is_alone = task not in in_means or len(in_means) < 2
        numbers[task] = registry.register(identify_clusters(results, task, is_alone))
        for number in numbers[task]:
            owners.setdefault(int(number), set()).add(task)
    return RowNumbers(numbers, connect_tasks(list(results.tasks), [o for o in owners.values() if len(o) > 1]))


def identify_clusters(results: LoadedResults, task: str, is_alone: bool) -> list[list[str]]:
    """For each cluster of the baseline's samples, in alphabetical order, what identifies its rows in other tasks."""
    cell = results.cells[results.baseline, task]
    table = cell.columns()
    names = sorted(set(table.cluster))
    if is_alone:
        return [[] for _ in names]
    rows, data = Results(cell.cell.folder.parent.parent).rows(task), results.tasks[task].inputs.data
    problems = problem_numbers(task, rows)
    kinds: list[list[str]] = [
        [f"row {example}" if example in rows else f"row {example} of {data}" for example, _ in table.keys],
        [f"question {request}" for request in table.requests],
        [problems.get(example, "") for example, _ in table.keys],
    ]
    clusters: dict[str, list[str]] = {name: [] for name in names}
    for identifiers in kinds:
        owners: dict[str, set[str]] = {}
        for cluster, identifier in zip(table.cluster, identifiers, strict=False):
            owners.setdefault(identifier, set()).add(cluster)
        for identifier, holders in owners.items():
            if identifier and len(holders) == 1:  # what several clusters share identifies none of them
                clusters[next(iter(holders))].append(identifier)
    return list(clusters.values())


def connect_tasks(tasks: Sequence[str], links: Sequence[set[str]]) -> list[list[str]]:
    """The tasks in groups: those that a link holds together, in order."""
    group = {task: {task} for task in tasks}
    for link in links:
        if len({id(group[task]) for task in link}) > 1:
            union = set().union(*(group[task] for task in link))
            group.update(dict.fromkeys(union, union))
    groups: list[list[str]] = []
    for task in tasks:
        members = [other for other in tasks if other in group[task]]
        if members not in groups:
            groups.append(members)
    return groups
