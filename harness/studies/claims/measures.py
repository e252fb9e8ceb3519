"""What hypotheses measure: values of runs, for each column [runs, clusters of items], from stored answers and run.json."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.comparison import recipes
from harness.comparison.alignment import Panel
from harness.comparison.load import Begun, Stored, gather
from harness.comparison.sample_table import Columns, columns, values
from harness.statistics.estimate import Floats, Spread
from harness.statistics.variance_shrinkage import Prior, prior
from harness.studies.claims.claims_file import ACCURACY, AVERAGE, BEST_OF_N, COSTS, STEPS
from harness.studies.claims.contrast import Column, NotRun, by
from harness.studies.claims.grid import Entry, Grid

REASONING = "reasoning"
SCORE = "score"
# A sum that is worked out and said: "7 + 5 = 12", "3 * (2 + 1) = 9", "$12/3 = $4".
WORKED = re.compile(r"\d\s*[)%]?\s*[-+*/x×÷−]\s*[($]*\d[^=\n]{0,40}=\s*\$?\d")


def worked(begun: Begun) -> Columns:
    """1 for each answer that shows a step of calculation, 0 for each that does not; weighed choices have none."""
    lines = {}
    for value in values(begun.cell):
        said = value["response"]
        shown = float(bool(WORKED.search(said))) if isinstance(said, str) and value["finish"] in ("stop", "length") else None
        lines[value["example"], value["draw"]] = {**value, "score": shown}
    return columns(lines)


READ: dict[str, Callable[[Begun], Columns]] = {SCORE: Begun.columns, STEPS: worked}


@dataclass
class Answers:
    """One results folder, each cell read once.  `kind` is what is read of an answer: its score, or its steps."""

    folder: Path
    baseline: str
    panels: dict[Column, Panel] = field(default_factory=dict)
    rows: dict[tuple[str, Column], Floats] = field(default_factory=dict)

    @cached_property
    def stored(self) -> Stored:
        """Everything in it; raises where results were made unlike."""
        found = gather([self.folder], self.baseline)
        found.admit(())
        return found

    def tasks(self, measure: Sequence[str]) -> dict[str, float]:
        """The tasks of a measure with their weights: of the average, of skills, of single tasks; of several the mean."""
        skills = self.stored.skills()
        names = list(skills) if list(measure) == [AVERAGE] else measure
        found: dict[str, float] = {}
        for name in names:
            members = skills.get(name) or ([name] if name in self.stored.tasks else [])
            if not members:
                raise NotRun(f"no {name} among what was asked ({', '.join(skills)})")
            for task in members:
                found[task] = found.get(task, 0.0) + 1 / (len(names) * len(members))
        return found

    def laid(self, column: Column, names: Sequence[str]) -> Floats:
        """[checkpoints, clusters] on the items that all of them have."""
        whole = np.stack([self.row(name, column) for name in names])
        if np.isnan(whole).any(axis=0).all():
            raise NotRun(f"no item of {column[1]} that all of {', '.join(names)} have a score for")
        return recipes.spread(self.panels[column], whole)

    def row(self, name: str, column: Column) -> Floats:
        """A checkpoint's values along the panel, which is the baseline's."""
        if (name, column) not in self.rows:
            kind, task = column
            if (name, task) not in self.stored.cells:
                raise NotRun(f"no answers of {name or 'a reward model'} to {task}")
            if column not in self.panels:
                begun = self.stored.cells[self.baseline, task]
                self.panels[column] = Panel(begun.about, READ[kind](begun))
            found = READ[kind](self.stored.cells[name, task])
            self.rows[name, column] = recipes.along(self.panels[column], found)
        return self.rows[name, column]


@dataclass
class Book:
    """Everything of a study that can be measured."""

    grid: Grid

    @cached_property
    def answers(self) -> Answers:
        return Answers(self.grid.folder / self.grid.file.results, self.grid.file.baseline)

    @cached_property
    def best_of(self) -> Answers:
        if self.grid.file.best_of is None:
            raise NotRun("no best of n")
        return Answers(self.grid.folder / self.grid.file.best_of.results, self.grid.file.best_of.baseline)

    def columns(self, measure: Sequence[str]) -> dict[Column, float]:
        """The columns of a measure, with their weights."""
        name = measure[0]
        if name in COSTS or name == ACCURACY:
            return {(name, ""): 1.0}
        if name == BEST_OF_N:
            return {(BEST_OF_N, task): weight for task, weight in self.best_of.tasks([AVERAGE]).items()}
        kind, chosen = (STEPS, [REASONING]) if name == STEPS else (SCORE, list(measure))
        return {(kind, task): weight for task, weight in self.answers.tasks(chosen).items()}

    def values(self, column: Column, entries: Sequence[Entry]) -> Floats:
        """[runs, clusters]; of a cost, its logarithm, and of a reward model's accuracy, a single number a run."""
        kind, task = column
        if kind in COSTS:
            return np.log([[self.cost(e, kind)] for e in entries])
        if kind == ACCURACY:
            return np.array([[accuracy(e)] for e in entries])
        if kind == BEST_OF_N:
            return self.best_of.laid((SCORE, task), [e.name for e in entries])
        return self.answers.laid(column, [e.name for e in entries])

    def prior(self, entry: Entry, columns: Mapping[Column, float]) -> Prior | None:
        """How much runs that differ by their seed vary in a weighted sum of columns, over the recipes of the entry's method."""
        made = self.grid.rewards if entry in self.grid.rewards else self.grid.cells
        alike = by((e for e in made if e.labels.get("method") == entry.labels.get("method")), lambda e: e.recipe)
        known = []
        for runs in alike.values():
            sums = self.sums(runs, columns) if len(runs) > 1 else None
            if sums is not None:
                known.append(Spread(float(np.var(sums, ddof=1)), len(runs) - 1))
        return prior(known)

    def sums(self, runs: Sequence[Entry], columns: Mapping[Column, float]) -> Floats | None:
        """[runs]: each run's weighted sum; None where one of them was not asked everything."""
        try:
            laid = [weight * self.values(c, runs).mean(axis=1) for c, weight in columns.items()]
        except NotRun:
            return None
        return np.asarray(np.sum(laid, axis=0))

    def cost(self, entry: Entry, kind: str) -> float:
        found = self.grid.cost(entry, kind)
        if found is None:
            raise NotRun(f"no {kind} in the run.json of {entry.run}{' or of its reward model' * bool(entry.tuned_by)}")
        return found


def accuracy(entry: Entry) -> float:
    if entry.accuracy is None:
        raise NotRun(f"no accuracy of {entry.run}")
    return entry.accuracy.share


def sampling(column: Column, coefficients: Mapping[Entry, float]) -> float:
    """The variance of a column that its items add and that single numbers do not show.

    Of a reward model's accuracy: that of shares of n pairs, as if each run had had pairs of its own.  They are the same for
    all, so a difference varies less: the interval is on the wide side.
    """
    if column[0] != ACCURACY:
        return 0.0
    shares = by_recipe(coefficients)
    return sum(weight**2 * p * (1 - p) / n for weight, p, n in shares)


def by_recipe(coefficients: Mapping[Entry, float]) -> list[tuple[float, float, int]]:
    """(weight, mean share, pairs) of each recipe: its runs are asked the same pairs, which they do not make more."""
    found: dict[tuple[tuple[str, str], ...], list[tuple[float, float, int]]] = {}
    for entry, weight in coefficients.items():
        if entry.accuracy:
            found.setdefault(entry.recipe, []).append((weight, entry.accuracy.share, entry.accuracy.n))
    return [
        (sum(w for w, _, _ in runs), sum(p for _, p, _ in runs) / len(runs), min(n for _, _, n in runs))
        for runs in found.values()
    ]
