"""Recipe against recipe: several training runs (seeds) of each, scored on the same items.

Two things vary: the run that a seed gives, and the items of the benchmark.  An interval from items alone is about these very
runs; one about the recipes needs both sources of variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.statistics.aggregates import Design, Floats, Interval, Ints, critical_value, simple_design
from harness.statistics.estimate import Variance
from harness.statistics.paired import add_pseudo_observations
from harness.statistics.pseudo_observations import least_sign_flip_p, student_p
from harness.statistics.weighted_means import RowSums, add_rows, correlation_matrix, share_rows

if TYPE_CHECKING:
    from harness.statistics.variance_shrinkage import VariancePrior

ONE_SEED = (
    "There is one run of {names}: how much another seed would move the score is not known, "
    "and the interval is about this run, not about the recipe."
)


@dataclass(frozen=True)
class TaskItems:
    """The items of a task: the clusters of its samples' `design`, in the order of their codes.

    `units` [items]: their numbers, which tasks over the same rows share; None: this task shares none.  `least_variance`: of the
    difference over items, where more is known than the linearised scores tell (see `paired.count_variance`).
    """

    design: Design
    units: Ints | None = None
    least_variance: float = 0.0


@dataclass(frozen=True)
class RecipeScores:
    """Runs of one recipe: for each task the scores [runs, items] on the same items, whose mean is the score of the task, 0..1.

    `is_fixed`: the model that the others started from; it was not drawn, so its single run has no variance of runs.
    """

    name: str
    tasks: tuple[Floats, ...]
    is_fixed: bool = False
    prior: VariancePrior | None = None  # the variance of a run's score over all recipes of the method

    @property
    def runs(self) -> int:
        return len(self.tasks[0])

    def run_scores(self, weights: Floats) -> Floats:
        """[runs]: each run's weighted sum of task means."""
        return np.stack([t.mean(axis=1) for t in self.tasks], axis=1) @ weights

    def run_variance(self, weights: Floats) -> Variance:
        """The variance of a run's score, shrunk towards the prior where there is one."""
        own = Variance(float(np.var(self.run_scores(weights), ddof=1)), self.runs - 1)
        return self.prior.shrink(own) if self.prior else own

    def scale(self, factor: float) -> RecipeScores:
        return replace(self, tasks=tuple(factor * t for t in self.tasks), prior=None)


@dataclass(frozen=True)
class RecipeContrast:
    """Recipe minus recipe, or any weighted sum of recipes.  Units: 0..1."""

    delta: float
    interval: Interval
    p: float
    freedom: float
    from_items: float  # the part of the variance that more items would shrink
    from_runs: float  # the part that only more runs would
    single: tuple[str, ...] = ()  # recipes of which there is one run
    least_p: float = 0.0  # the smallest p-value that the items which changed can prove

    @property
    def caveat(self) -> str:
        """A warning where a recipe has a single run; "" where each has several."""
        return ONE_SEED.format(names=" and of ".join(self.single)) if self.single else ""

    @property
    def error(self) -> float:
        return float(np.sqrt(self.from_items + self.from_runs))


def recipe_difference(
    old: RecipeScores,
    new: RecipeScores,
    weights: Floats | None = None,
    level: float = 0.95,
    items: Sequence[TaskItems] = (),
) -> RecipeContrast:
    """The difference new - old of two recipes' scores, cut to -1..1; `weights` [tasks], None for their plain mean.

    `items` [tasks]; default: independent ones.
    """
    independent = [TaskItems(simple_design(t.shape[1])) for t in old.tasks]
    contrast = recipe_sum([old.scale(-1), new], weights, level, items or independent)
    return cut_interval(contrast, Interval(-1.0, 1.0))


def cut_interval(contrast: RecipeContrast, reach: Interval) -> RecipeContrast:
    """The contrast with its interval cut to the values that it can have."""
    low, high = max(reach.low, contrast.interval.low), min(reach.high, contrast.interval.high)
    return replace(contrast, interval=Interval(low, high))


def recipe_sum(
    parts: Sequence[RecipeScores],
    weights: Floats | None = None,
    level: float = 0.95,
    items: Sequence[TaskItems | None] = (),
) -> RecipeContrast:
    """The sum of the parts' scores: a difference where one part is scaled by -1, an average where they are divided.

    Items and runs are crossed random effects (Cornfield and Tukey 1956):

        variance = var over items of the run-averaged sum / items + sum over parts of (var of run means / runs) - interaction

    The interaction of item and run is in both terms, so it is subtracted once (see `shared_variances`).  The variance over
    items is that of a paired difference, with its two pseudo-observations.  Degrees of freedom by Satterthwaite (1946); with
    few runs they are few, and the interval is wide.
    `items` [tasks]: None for a single number a run (a cost), which varies by runs alone; default: independent items where
    there are several.
    """
    count = len(parts[0].tasks)
    weight = np.full(count, 1 / count) if weights is None else weights
    items = items or [TaskItems(simple_design(t.shape[1])) if t.shape[1] > 1 else None for t in parts[0].tasks]
    change = [np.sum([p.tasks[t].mean(axis=0) for p in parts], axis=0) for t in range(count)]
    per_part = [shared_variances(p, weight, items) for p in parts]
    task_changes = [
        TaskChange(float(w), c, sum(of_tasks[t] for of_tasks in per_part), i)
        for t, (w, c, i) in enumerate(zip(weight, change, items, strict=True))
        if i
    ]
    over_items = [item_variance(task_changes)] if task_changes else []
    over_runs = [Variance(s.value / p.runs, s.freedom) for p in parts if p.runs > 1 for s in (p.run_variance(weight),)]
    contrast = RecipeContrast(
        delta=float(sum(w * c.mean() for w, c in zip(weight, change, strict=True))),
        interval=Interval(0.0, 0.0),
        p=1.0,
        freedom=satterthwaite_freedom([*over_items, *over_runs]),
        from_items=sum(v.value for v in over_items),
        from_runs=sum(v.value for v in over_runs),
        single=tuple(p.name for p in parts if p.runs == 1 and not p.is_fixed),
        least_p=least_p(task_changes) if task_changes else 0.0,
    )
    return finish_contrast(contrast, level)


def satterthwaite_freedom(terms: Sequence[Variance]) -> float:
    """The degrees of freedom of a sum of independent variances (Satterthwaite 1946); those of all where each is 0."""
    denominator = sum(t.value**2 / t.freedom for t in terms)
    return sum(t.value for t in terms) ** 2 / denominator if denominator > 0 else sum(t.freedom for t in terms)


def finish_contrast(contrast: RecipeContrast, level: float) -> RecipeContrast:
    """The contrast with Student's interval and p-value; NaN and 1 where one number a side says nothing of how it varies."""
    if not contrast.error:
        return replace(contrast, interval=Interval(float("nan"), float("nan")), p=1.0)
    half_width = critical_value(level, contrast.freedom) * contrast.error
    interval = Interval(contrast.delta - half_width, contrast.delta + half_width)
    return replace(contrast, interval=interval, p=student_p(contrast.delta, contrast.error, contrast.freedom, contrast.least_p))


@dataclass(frozen=True)
class TaskChange:
    """What the items of one task add to a contrast: `change` [items] of the scores, averaged over runs, and its weight."""

    weight: float
    change: Floats
    interaction: float  # the part of its mean's variance over items that is in the variance over runs as well
    items: TaskItems

    @property
    def variance(self) -> Variance:
        """Of the mean change over items alone, with two pseudo-observations; of a single item: 1."""
        sums = (self.change - self.change.mean()) / len(self.change)
        linear = add_pseudo_observations(sums, self.items.design, self.interaction)
        return Variance(max(linear.value, self.items.least_variance), linear.freedom)

    @property
    def rows(self) -> RowSums:
        units = np.arange(len(self.change)) if self.items.units is None else self.items.units
        return RowSums(units, self.change / len(self.change))


def item_variance(changes: Sequence[TaskChange]) -> Variance:
    """The variance of a weighted sum of mean changes over the items of its tasks; those over the same rows vary together.

    Degrees of freedom as by Satterthwaite, where the estimates of two variances correlate as the square of what they are of.
    """
    variances = [c.variance for c in changes]
    shares_rows = len(changes) > 1 and all(c.items.units is not None for c in changes)
    correlations = correlation_matrix([c.rows for c in changes]) if shares_rows else np.eye(len(changes))
    errors = np.array([abs(c.weight) * v.value**0.5 for c, v in zip(changes, variances, strict=True)])
    parts = errors * (correlations @ errors)
    spread = parts / np.sqrt([v.freedom for v in variances])
    denominator = float(spread @ correlations**2 @ spread)
    freedom = float(parts.sum()) ** 2 / denominator if denominator > 0 else sum(v.freedom for v in variances)
    return Variance(float(parts.sum()), freedom)


def least_p(changes: Sequence[TaskChange]) -> float:
    """The smallest p-value that flipping the signs of rows can give."""
    rows = [c.rows.scale(c.weight) for c in changes]
    if any(c.items.units is None for c in changes):
        return least_sign_flip_p(np.concatenate([r.contributions for r in rows]))
    return least_sign_flip_p(add_rows(rows).contributions)


def add_item_variance(contrast: RecipeContrast, more: float, level: float = 0.95) -> RecipeContrast:
    """The contrast with a further variance of items, which is known well: it adds no uncertainty of its own."""
    if not more:
        return contrast
    variance = contrast.from_items + contrast.from_runs
    freedom = contrast.freedom * ((variance + more) / variance) ** 2 if variance else float("inf")
    return finish_contrast(replace(contrast, freedom=freedom, from_items=contrast.from_items + more), level)


def shared_variances(recipe: RecipeScores, weights: Floats, items: Sequence[TaskItems | None]) -> list[float]:
    """[tasks]: what the variance over items has of the variance over runs: the interaction, at most what the latter says.

    With two runs this may be next to nothing by chance; to subtract more would take from what varies by items.
    """
    own = [interaction_variance(t) for t in recipe.tasks]
    errors = np.abs(weights) * np.sqrt(own)
    units = [i.units if i else None for i in items]
    together = np.array([[i == j or share_rows(a, b) for j, b in enumerate(units)] for i, a in enumerate(units)], np.float64)
    total = float(errors @ together @ errors)  # tasks over the same rows are taken for alike
    share = min(1.0, recipe.run_variance(weights).value / recipe.runs / total) if total else 0.0
    return [share * o for o in own]


def interaction_variance(scores: Floats) -> float:
    """The item-by-run part of the variance of a mean of scores [runs, items]: interaction mean square / (runs * items)."""
    runs, items = len(scores), scores.shape[1]
    if runs < 2 or items < 2:
        return 0.0
    residuals = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    return float(np.sum(residuals**2)) / float((runs - 1) * (items - 1) * runs * items)
