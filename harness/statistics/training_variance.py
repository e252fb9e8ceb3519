"""Recipe against recipe: several training runs (seeds) of each, scored on the same items.

Two things vary: the run that a seed gives, and the items of the benchmark.  An interval from items alone is about these very
runs; one about the recipes needs both sources of variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.statistics.aggregates import Floats, Interval, critical_value
from harness.statistics.estimate import Variance
from harness.statistics.pseudo_observations import least_sign_flip_p, pseudo_square, student_p

if TYPE_CHECKING:
    from harness.statistics.variance_shrinkage import VariancePrior

ONE_SEED = (
    "There is one run of {names}: how much another seed would move the score is not known, "
    "and the interval is about this run, not about the recipe."
)


@dataclass(frozen=True)
class RecipeScores:
    """Runs of one recipe: for each task the scores [runs, items] on the same items, 0..1.

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
    old: RecipeScores, new: RecipeScores, weights: Floats | None = None, level: float = 0.95
) -> RecipeContrast:
    """The difference new - old of two recipes' scores, cut to -1..1; `weights` [tasks], None for their plain mean."""
    contrast = recipe_sum([old.scale(-1), new], weights, level, [True] * len(old.tasks))
    return cut_interval(contrast, Interval(-1.0, 1.0))


def cut_interval(contrast: RecipeContrast, reach: Interval) -> RecipeContrast:
    """The contrast with its interval cut to the values that it can have."""
    low, high = max(reach.low, contrast.interval.low), min(reach.high, contrast.interval.high)
    return replace(contrast, interval=Interval(low, high))


def recipe_sum(
    parts: Sequence[RecipeScores], weights: Floats | None = None, level: float = 0.95, has_items: Sequence[bool] = ()
) -> RecipeContrast:
    """The sum of the parts' scores: a difference where one part is scaled by -1, an average where they are divided.

    Items and runs are crossed random effects (Cornfield and Tukey 1956):

        variance = var over items of the run-averaged sum / items + sum over parts of (var of run means / runs) - interaction

    The interaction of item and run is in both terms, so it is subtracted once.  Two pseudo-observations join the items (see
    `pseudo_square`).  Degrees of freedom by Satterthwaite (1946); with few runs they are few, and the interval is wide.
    `has_items` [tasks]: False for a single number a run (a cost), which varies by runs alone; default: where there are several.
    """
    count = len(parts[0].tasks)
    weight = np.full(count, 1 / count) if weights is None else weights
    sampled_items = has_items or [t.shape[1] > 1 for t in parts[0].tasks]
    change = [np.sum([p.tasks[t].mean(axis=0) for p in parts], axis=0) for t in range(count)]
    item_terms = [
        (w * w * v.value, v.freedom)
        for t, (w, c) in enumerate(zip(weight, change, strict=True))
        if sampled_items[t]
        for v in (item_variance(c, sum(interaction_variance(p.tasks[t]) for p in parts)),)
    ]
    run_terms = [(s.value / p.runs, s.freedom) for p in parts if p.runs > 1 for s in (p.run_variance(weight),)]
    variance = sum(v for v, _ in item_terms + run_terms)
    denominator = sum(v * v / d for v, d in item_terms + run_terms)
    freedom = variance**2 / denominator if denominator > 0 else float(sum(d for _, d in item_terms + run_terms))
    changes = [w * c for w, c, has in zip(weight, change, sampled_items, strict=True) if has]
    contrast = RecipeContrast(
        delta=float(sum(w * c.mean() for w, c in zip(weight, change, strict=True))),
        interval=Interval(0.0, 0.0),
        p=1.0,
        freedom=freedom,
        from_items=sum(v for v, _ in item_terms),
        from_runs=sum(v for v, _ in run_terms),
        single=tuple(p.name for p in parts if p.runs == 1 and not p.is_fixed),
        least_p=least_sign_flip_p(np.concatenate(changes)) if changes else 0.0,
    )
    return finish_contrast(contrast, level)


def finish_contrast(contrast: RecipeContrast, level: float) -> RecipeContrast:
    """The contrast with Student's interval and p-value; NaN and 1 where one number a side says nothing of how it varies."""
    if not contrast.error:
        return replace(contrast, interval=Interval(float("nan"), float("nan")), p=1.0)
    half_width = critical_value(level, contrast.freedom) * contrast.error
    interval = Interval(contrast.delta - half_width, contrast.delta + half_width)
    return replace(contrast, interval=interval, p=student_p(contrast.delta, contrast.error, contrast.freedom, contrast.least_p))


def item_variance(change: Floats, interaction: float) -> Variance:
    """The variance of a mean of changes [items] over items alone, with two pseudo-observations; of a single item: 1."""
    items = len(change)
    if items < 2:
        return Variance(1.0, 1.0)
    own = max(float(np.var(change, ddof=1)) / items - interaction, 0.0)
    return Variance(own + 2 * pseudo_square((change - change.mean()) / items, 1 / items), items - 1)


def add_item_variance(contrast: RecipeContrast, more: float, level: float = 0.95) -> RecipeContrast:
    """The contrast with a further variance of items, which is known well: it adds no uncertainty of its own."""
    if not more:
        return contrast
    variance = contrast.from_items + contrast.from_runs
    freedom = contrast.freedom * ((variance + more) / variance) ** 2 if variance else float("inf")
    return finish_contrast(replace(contrast, freedom=freedom, from_items=contrast.from_items + more), level)


def interaction_variance(scores: Floats) -> float:
    """The item-by-run part of the variance of a mean of scores [runs, items]: interaction mean square / (runs * items)."""
    runs, items = len(scores), scores.shape[1]
    if runs < 2 or items < 2:
        return 0.0
    residuals = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    return float(np.sum(residuals**2)) / float((runs - 1) * (items - 1) * runs * items)
