"""Recipe against recipe, from stored results: several runs of each, on the items that all of them have a score for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.comparison.alignment import TaskPanel
from harness.comparison.load import LoadedResults, load_results
from harness.comparison.result import Level
from harness.comparison.sample_table import SampleTable
from harness.statistics.aggregates import Floats
from harness.statistics.estimate import pseudo_values
from harness.statistics.training_variance import RecipeContrast, RecipeScores, recipe_difference
from harness.types import SkilldeltaError


@dataclass(frozen=True)
class RecipeRow:
    """One task, skill, or the average of two recipes.  The `found` numbers are shares, 0..1."""

    level: Level
    name: str
    contrast: RecipeContrast


def compare_recipes(
    results: Sequence[str | Path], recipes: Mapping[str, Sequence[str]], allow: Sequence[str] = ()
) -> list[RecipeRow]:
    """Two recipes, each a name with the names of its runs' checkpoints; the first is the baseline."""
    if len(recipes) != 2 or not all(recipes.values()):
        raise SkilldeltaError(
            f"Two recipes with a checkpoint or more each are compared; given: {', '.join(recipes) or 'none'}."
        )
    (before, old), (after, new) = recipes.items()
    stored_results = load_results([Path(r) for r in results], old[0], [*old[1:], *new])
    stored_results.accept_differences(allow)
    everyone = [*old, *new]
    tasks = {
        task: score_matrix(stored_results, task, everyone)
        for task in stored_results.tasks
        if all((c, task) in stored_results.cells for c in everyone)
    }
    if not tasks:
        raise SkilldeltaError(f"There is no task that all of {', '.join(everyone)} have been asked.")
    lines = []
    for level, name, weights in weights_by_level(stored_results.skills(), tasks):
        matrices = [tasks[t] for t in weights]
        first = RecipeScores(before, tuple(s[: len(old)] for s in matrices))
        second = RecipeScores(after, tuple(s[len(old) :] for s in matrices))
        lines.append(RecipeRow(level, name, recipe_difference(first, second, np.array(list(weights.values())))))
    return lines


def weights_by_level(
    skills: Mapping[str, Sequence[str]], tasks: Mapping[str, object]
) -> list[tuple[Level, str, dict[str, float]]]:
    """Every task, every skill all of whose tasks are there, and the average of skills; each with the weights of its tasks."""
    complete = {name: names for name, names in skills.items() if all(t in tasks for t in names)}
    levels: list[tuple[Level, str, dict[str, float]]] = [("task", t, {t: 1.0}) for t in tasks]
    levels += [("skill", name, {t: 1 / len(names) for t in names}) for name, names in complete.items()]
    if len(complete) == len(skills):
        levels.append(("average", "average", {t: 1 / (len(complete) * len(ts)) for ts in complete.values() for t in ts}))
    return levels


def score_matrix(stored_results: LoadedResults, task: str, names: Sequence[str]) -> Floats:
    """[checkpoints, clusters]: what the clusters of items that all checkpoints have a score for contribute to each score."""
    first = stored_results.cells[names[0], task].columns()
    panel = TaskPanel(stored_results.cells[names[0], task].record, first)
    return pseudo_values(
        panel.design,
        np.stack([scores_along(panel, first if n == names[0] else stored_results.cells[n, task].columns()) for n in names]),
    )


def scores_along(panel: TaskPanel, columns: SampleTable) -> Floats:
    """A checkpoint's scores along the panel's rows; NaN where it has none."""
    old, new = panel.matching_rows(columns)
    row = np.full(len(panel.baseline.keys), np.nan)
    row[old] = columns.score[new]
    return row
