"""Recipe against recipe: several training runs (seeds) of each, all asked the same items.

Two things vary: which runs training happened to give, and which items happened to be asked.  An interval that knows only the
items is about these very runs; one about the recipes needs both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from harness.statistics.estimate import Floats, Interval, Spread, quantile
from harness.statistics.variance_shrinkage import Prior

ONE_SEED = (
    "There is one run of {names}: how much another seed would move the score is not known, "
    "and the interval is about this run, not about the recipe."
)


@dataclass(frozen=True)
class Recipe:
    """Runs of one recipe: for each task the scores [runs, items] on the same items, 0..1.

    `given`: the model that the others began from, which was not drawn: it has one run, and that is all there is to know.
    """

    name: str
    tasks: tuple[Floats, ...]
    given: bool = False
    prior: Prior | None = None  # what other recipes tell of the variance of a run's score

    @property
    def runs(self) -> int:
        return len(self.tasks[0])

    def means(self, weights: Floats) -> Floats:
        """[runs]: each run's weighted sum of task means."""
        return np.stack([t.mean(axis=1) for t in self.tasks], axis=1) @ weights

    def varying(self, weights: Floats) -> Spread:
        """The variance of a run's score."""
        own = Spread(float(np.var(self.means(weights), ddof=1)), self.runs - 1)
        return self.prior.weighed(own) if self.prior else own

    def times(self, factor: float) -> Recipe:
        return replace(self, tasks=tuple(factor * t for t in self.tasks), prior=None)


@dataclass(frozen=True)
class Between:
    """Recipe minus recipe, or any sum of recipes."""

    delta: float
    interval: Interval
    p: float
    freedom: float
    from_items: float  # the part of the variance that more items would shrink
    from_runs: float  # the part that only more runs would
    single: tuple[str, ...] = ()  # recipes of which there is one run

    @property
    def caveat(self) -> str:
        """What a single run does not tell; "" where there are several of each."""
        return ONE_SEED.format(names=" and of ".join(self.single)) if self.single else ""

    @property
    def error(self) -> float:
        """The standard error."""
        return float(np.sqrt(self.from_items + self.from_runs))


def between(before: Recipe, after: Recipe, weights: Floats | None = None, level: float = 0.95) -> Between:
    """The difference of two recipes' scores (the `weights` sum over tasks; None: their plain mean), with its variance."""
    found = together([before.times(-1), after], weights, level)
    low, high = found.interval.low, found.interval.high
    return replace(found, interval=Interval(max(-1.0, low), min(1.0, high)))


def together(parts: Sequence[Recipe], weights: Floats | None = None, level: float = 0.95) -> Between:
    """The sum of the parts' scores: a difference where one of them is negative, an average where they are divided.

    Items and runs are crossed (Cornfield and Tukey 1956): the variance over items of the run-averaged sum, plus, for
    each part, that of its runs' means over runs, less what is in both, the residual of item and run.  Degrees of freedom
    by Satterthwaite (1946); with few runs they are few, and the interval is wide.  A task of a single item (a cost) varies by
    runs alone.
    """
    count = len(parts[0].tasks)
    weight = np.full(count, 1 / count) if weights is None else weights
    change = [np.sum([p.tasks[t].mean(axis=0) for p in parts], axis=0) for t in range(count)]
    twice = [sum(residual(p.tasks[t]) for p in parts) for t in range(count)]
    items = [
        (w * w * max(float(np.var(c, ddof=1)) / len(c) - both, 0.0), len(c) - 1)
        for w, c, both in zip(weight, change, twice, strict=True)
        if len(c) > 1
    ]
    runs = [(s.variance / p.runs, s.freedom) for p in parts if p.runs > 1 for s in (p.varying(weight),)]
    variance = sum(v for v, _ in items + runs)
    below = sum(v * v / d for v, d in items + runs)
    freedom = variance**2 / below if below > 0 else float(sum(d for _, d in items + runs))
    delta = float(sum(w * c.mean() for w, c in zip(weight, change, strict=True)))
    error = float(np.sqrt(variance))
    half = quantile(level, freedom) * error if error else 0.0
    return Between(
        delta=delta,
        interval=Interval(delta - half, delta + half),
        p=two_sided(delta, error, freedom),
        freedom=freedom,
        from_items=sum(v for v, _ in items),
        from_runs=sum(v for v, _ in runs),
        single=tuple(p.name for p in parts if p.runs == 1 and not p.given),
    )


def widened(found: Between, more: float, level: float = 0.95) -> Between:
    """The same with a further variance, one of items that is well known: its degrees of freedom are many."""
    if not more:
        return found
    known = found.from_items + found.from_runs
    error = float(np.sqrt(known + more))
    freedom = found.freedom * ((known + more) / known) ** 2 if known else float("inf")
    half = quantile(level, freedom) * error
    return replace(
        found,
        interval=Interval(found.delta - half, found.delta + half),
        p=two_sided(found.delta, error, freedom),
        freedom=freedom,
        from_items=found.from_items + more,
    )


def residual(scores: Floats) -> float:
    """The part of a recipe's variance of the mean that is due to item and run together: mean square / (runs x items)."""
    runs, items = len(scores), scores.shape[1]
    if runs < 2 or items < 2:
        return 0.0
    rest = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    return float(np.sum(rest**2)) / float((runs - 1) * (items - 1) * runs * items)


def two_sided(delta: float, error: float, freedom: float) -> float:
    """Student's two-sided p-value."""
    if error == 0:
        return 1.0 if delta == 0 else 0.0
    return float(2 * special.stdtr(freedom, -abs(delta) / error))
