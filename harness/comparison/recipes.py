"""Recipe against recipe, from stored results: several runs of each, on the items that all of them have a score for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.comparison.alignment import Panel
from harness.comparison.load import Stored, gather
from harness.comparison.result import Level
from harness.comparison.sample_table import Columns
from harness.statistics.estimate import Floats, influences
from harness.statistics.training_variance import Between, Recipe, between
from harness.types import SkilldeltaError


@dataclass(frozen=True)
class Line:
    """One task, skill, or the average of two recipes.  The `found` numbers are shares, 0..1."""

    level: Level
    name: str
    found: Between


def compare(results: Sequence[str | Path], recipes: Mapping[str, Sequence[str]], allow: Sequence[str] = ()) -> list[Line]:
    """Two recipes, each a name with the names of its runs' checkpoints; the first is the baseline."""
    if len(recipes) != 2 or not all(recipes.values()):
        raise SkilldeltaError(
            f"Two recipes with a checkpoint or more each are compared; given: {', '.join(recipes) or 'none'}."
        )
    (before, old), (after, new) = recipes.items()
    stored = gather([Path(r) for r in results], old[0], [*old[1:], *new])
    stored.admit(allow)
    everyone = [*old, *new]
    tasks = {task: scores(stored, task, everyone) for task in stored.tasks if all((c, task) in stored.cells for c in everyone)}
    if not tasks:
        raise SkilldeltaError(f"There is no task that all of {', '.join(everyone)} have been asked.")
    lines = []
    for level, name, weights in groups(stored.skills(), tasks):
        chosen = [tasks[t] for t in weights]
        one = Recipe(before, tuple(s[: len(old)] for s in chosen))
        other = Recipe(after, tuple(s[len(old) :] for s in chosen))
        lines.append(Line(level, name, between(one, other, np.array(list(weights.values())))))
    return lines


def groups(skills: Mapping[str, Sequence[str]], tasks: Mapping[str, object]) -> list[tuple[Level, str, dict[str, float]]]:
    """Every task, every skill all of whose tasks are there, and the average of skills; each with the weights of its tasks."""
    whole = {name: names for name, names in skills.items() if all(t in tasks for t in names)}
    found: list[tuple[Level, str, dict[str, float]]] = [("task", t, {t: 1.0}) for t in tasks]
    found += [("skill", name, {t: 1 / len(names) for t in names}) for name, names in whole.items()]
    if len(whole) == len(skills):
        found.append(("average", "average", {t: 1 / (len(whole) * len(ts)) for ts in whole.values() for t in ts}))
    return found


def scores(stored: Stored, task: str, names: Sequence[str]) -> Floats:
    """[checkpoints, clusters]: what the clusters of items that all checkpoints have a score for contribute to each score."""
    first = stored.cells[names[0], task].columns()
    panel = Panel(stored.cells[names[0], task].about, first)
    return spread(panel, np.stack([along(panel, first if n == names[0] else stored.cells[n, task].columns()) for n in names]))


def spread(panel: Panel, laid: Floats) -> Floats:
    """[checkpoints, clusters] of [checkpoints, rows of the panel]: pseudo-values, whose plain mean is the task's own score.

    A cluster's is the score, plus the number of clusters times what the cluster moves it by: this is the score of an item
    where every item is a cluster, and holds for a macro mean and for F1 by linearisation (`estimate`).
    """
    there = np.asarray(~np.isnan(laid).any(axis=0))
    design = panel.design.take(there)
    count = int(design.clusters.max()) + 1 if there.any() else 0
    found = np.empty((len(laid), count))
    for place, row in enumerate(laid[:, there]):
        score, each = influences(row, design)
        found[place] = score + count * np.bincount(design.clusters, weights=each, minlength=count)
    return found


def along(panel: Panel, columns: Columns) -> Floats:
    """A checkpoint's scores along the panel's rows; NaN where it has none."""
    old, new = panel.align(columns)
    row = np.full(len(panel.baseline.keys), np.nan)
    row[old] = columns.score[new]
    return row
