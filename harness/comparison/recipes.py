"""Recipe against recipe from stored results: several runs of each, on the items that all of them have a score for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.alignment import TaskPanel
from harness.comparison.equal_models import equal_models
from harness.comparison.load import LoadedResults, load_results, weights_by_level
from harness.comparison.sample_table import SampleTable
from harness.comparison.shared_rows import number_rows
from harness.grouping import group_by
from harness.statistics.aggregates import Floats, Ints
from harness.statistics.estimate import pseudo_values
from harness.statistics.paired import count_variance
from harness.statistics.training_variance import RecipeContrast, RecipeScores, TaskItems, recipe_difference
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.result import Level
    from harness.records import CheckpointRecord
    from harness.store import SampleKey


@dataclass(frozen=True)
class RecipeTask:
    """Checkpoints on one task.

    `values` [checkpoints, items]: pseudo-values, whose means are the scores.  `samples` [checkpoints, samples]: the scores.
    `gaps`: how many samples some checkpoint has no score for, which do not count.
    """

    values: Floats
    items: TaskItems
    samples: Floats
    gaps: int = 0

    def items_between(self, old: int) -> TaskItems:
        """The items of the difference between the first `old` checkpoints and the others."""
        least_variance = count_variance(self.samples[:old], self.samples[old:], self.items.design)
        return replace(self.items, least_variance=least_variance)


@dataclass(frozen=True)
class RecipeRow:
    """The difference of two recipes on one task, one skill, or on average.  Units of `contrast`: 0..1.

    `left_out`: the tasks that take no part in any row, each with the reason (their skills and the average have no row either),
    and of the others how many samples do not count.
    """

    level: Level
    name: str
    contrast: RecipeContrast
    left_out: tuple[str, ...] = ()


def compare_recipes(
    results: Sequence[str | Path], recipes: Mapping[str, Sequence[str]], allow: Sequence[str] = ()
) -> list[RecipeRow]:
    """The second recipe against the first; `recipes`: for each name the checkpoints of its runs.

    SkilldeltaError unless there are two recipes with a checkpoint each, no run is counted twice (its difference from itself
    would pass for the variance of runs), and there is a task with an item that all checkpoints have a score for.
    """
    if len(recipes) != 2 or not all(recipes.values()):
        raise SkilldeltaError(
            f"Two recipes are needed, each with at least one checkpoint; there are: {', '.join(recipes) or 'none'}."
        )
    (before, old), (after, new) = recipes.items()
    if twice := [name for name, count in Counter([*old, *new]).items() if count > 1]:
        raise SkilldeltaError(f"{twice[0]} is named twice: name each run once, in one recipe.")
    stored_results = load_results([Path(r) for r in results], old[0], [*old[1:], *new])
    for recipe, names in recipes.items():
        check_runs(recipe, {name: stored_results.checkpoints[name] for name in names})
    stored_results.accept_differences(allow)
    everyone = [*old, *new]
    numbers = number_rows(stored_results).numbers
    tasks = {
        task: task_scores(stored_results, task, everyone, numbers[task])
        for task in stored_results.tasks
        if all((c, task) in stored_results.cells for c in everyone)
    }
    left_out = tuple(describe_gaps(stored_results, tasks, everyone))
    tasks = {task: scores for task, scores in tasks.items() if len(scores.items.design.cluster)}
    if not tasks:
        raise SkilldeltaError(
            f"There is no task with an item that all of {', '.join(everyone)} have a score for: score the same tasks for each. "
            + "  ".join(left_out)
        )
    items = {task: scores.items_between(len(old)) for task, scores in tasks.items()}
    lines = []
    for level, name, weights in weights_by_level(stored_results.skills(), tasks, stored_results.rule):
        if not weights:  # the average, where every task measures a habit
            continue
        scores = [tasks[t] for t in weights]
        first = RecipeScores(before, tuple(s.values[: len(old)] for s in scores))
        second = RecipeScores(after, tuple(s.values[len(old) :] for s in scores))
        contrast = recipe_difference(first, second, np.array(list(weights.values())), items=[items[t] for t in weights])
        lines.append(RecipeRow(level, name, contrast, left_out))
    return lines


def check_runs(recipe: str, checkpoints: Mapping[str, CheckpointRecord]) -> None:
    """Raises SkilldeltaError where two checkpoints of a recipe are one model, or steps of one run."""
    for names in equal_models(checkpoints):
        raise SkilldeltaError(
            f"{' and '.join(names)} are one model, so they are one run of {recipe}: the same weights, adapter and tokenizer.  "
            "Name one of them."
        )
    for run, steps in group_by(checkpoints, lambda name: checkpoints[name].run).items():
        if run and len(steps) > 1 and all(checkpoints[name].step is not None for name in steps):
            raise SkilldeltaError(
                f"{' and '.join(steps)} are steps of one run ({run}), and a recipe is compared over several runs of it, with "
                f"other seeds: name one checkpoint of each run of {recipe}."
            )


def describe_gaps(stored_results: LoadedResults, tasks: Mapping[str, RecipeTask], names: Sequence[str]) -> Iterator[str]:
    """A sentence for each task of any of these checkpoints that cannot be compared."""
    for task in sorted({task for _, task in (*stored_results.cells, *stored_results.empty)}):
        absent = [name for name in names if (name, task) not in stored_results.cells]
        if absent:
            yield f"{task} is left out: {', '.join(absent)} have no samples of it."
        elif task in tasks and not len(tasks[task].items.design.cluster):
            yield f"{task} is left out: no item has a score of all checkpoints."
        elif task in tasks and (gaps := tasks[task].gaps):
            count = gaps + tasks[task].samples.shape[1]
            yield f"{task}: of {count} samples, {gaps} without a score of some checkpoint do not count."


def task_scores(stored_results: LoadedResults, task: str, names: Sequence[str], numbers: Ints) -> RecipeTask:
    """The checkpoints on the items that all of them have a score for; `numbers`: of the rows of the baseline's clusters."""
    first = stored_results.cells[names[0], task].columns()
    panel = TaskPanel(stored_results.cells[names[0], task].record, first)
    strangers: set[SampleKey] = set()  # samples that the first checkpoint lacks
    rows = []
    for name in names:  # one at a time: the samples of all checkpoints may not fit in memory
        table = first if name == names[0] else stored_results.cells[name, task].columns()
        strangers |= {key for key in table.keys if key not in panel.row_of_key}
        rows.append(scores_along(panel, table))
    scores = align_scores(panel, rows, numbers)
    return replace(scores, gaps=scores.gaps + len(strangers))


def align_scores(panel: TaskPanel, rows: Sequence[Floats], numbers: Ints) -> RecipeTask:
    """Scores [rows of the panel] of checkpoints, on the items that all of them have a score for."""
    scores = np.stack(rows)
    values, design = pseudo_values(panel.design, scores)
    samples = scores[:, ~np.isnan(scores).any(axis=0)]
    gaps = scores.shape[1] - samples.shape[1]
    return RecipeTask(values, TaskItems(design, numbers[np.unique(design.cluster)]), samples, gaps)


def scores_along(panel: TaskPanel, columns: SampleTable) -> Floats:
    """[rows of the panel]: a checkpoint's scores; NaN where it has none."""
    old, new = panel.matching_rows(columns)
    row = np.full(len(panel.baseline.keys), np.nan)
    row[old] = columns.score[new]
    return row
