"""Intervals of F1 and of its paired difference from the counts of independent items, which hold for few positive items too.

Linearised, one positive item has no variance, and a change of it moves F1 by far more than its slope says.  The counts
themselves are independent binomials, whose limits are known for any number of items.  An interval holds every F1 whose shares
are not too far from the data, all together:

    sum over the shares of u^2 <= z^2

where u is the normal deviate of the mid-P tail of a share (Lancaster 1961).  Of one share alone this is the mid-P interval, of
many items the interval of the linearised F1.  Shares are 0..1.

Draws of one problem, and scores between 0 and 1, count as the independent 0/1 items that would know as much: counts need not
be whole.  That number is an estimate too, and clusters may lie in both groups: there `is_exact` is False, and the linearised
interval counts as well (see `estimate` and `paired`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import interpolate, special

from harness.statistics.aggregates import Design, Floats, Interval

NODES, GRID = 33, 513  # deviates at which a limit is solved, and at which it is tabled
LARGEST_DEVIATE = 8.0  # tails beyond are below 1e-15
CLIMBERS = 8
FIRST_STEP, LAST_STEP = 0.4, 2e-4  # in radii; a step of h leaves about h^2 of an interval's width
LEAST_RISE = 1e-4  # of a step


@dataclass(frozen=True)
class BinomialCount:
    """`hits` of `n` independent items."""

    hits: float
    n: float


@dataclass(frozen=True)
class PairedCount:
    """`n` items of one group under two checkpoints: right under both, lost, gained, and the rest wrong under both."""

    n: float
    right: float
    losses: float
    gains: float

    def swap(self) -> PairedCount:
        return PairedCount(self.n, self.right, self.gains, self.losses)

    def shares(self) -> list[BinomialCount]:
        """Changed of all, right of the unchanged, gained of the changed: the likelihood is the product of these three."""
        changes = self.losses + self.gains
        constant = max(self.n - changes, 0.0)
        return [
            BinomialCount(changes, self.n),
            BinomialCount(min(self.right, constant), constant),
            BinomialCount(self.gains, changes),
        ]


@dataclass(frozen=True)
class F1Counts:
    """The right decisions of both groups; `sizes`: the items that F1 itself counts, positive ones and the rest."""

    positives: BinomialCount
    rest: BinomialCount
    sizes: tuple[int, int]
    is_exact: bool  # every item is independent and scores 0 or 1

    def interval(self, critical: float) -> Interval:
        """Of F1, 0..1; the whole range without a positive item."""
        if not self.sizes[0]:
            return Interval(0.0, 1.0)
        tables = limit_tables([self.positives, self.rest], critical)

        def value(deviates: Floats) -> Floats:
            recall, specificity = shares_at(deviates, tables)
            return f1_of(recall, specificity, self.sizes)

        return Interval(-largest_value(lambda u: -value(u), 2), largest_value(value, 2))


@dataclass(frozen=True)
class F1Pairs:
    """The decisions of two checkpoints on the items of both groups; `sizes` and `is_exact` as in F1Counts."""

    positives: PairedCount
    rest: PairedCount
    sizes: tuple[int, int]
    is_exact: bool

    def interval(self, critical: float) -> Interval:
        """Of the second checkpoint's F1 minus the first's, -1..1; that of the swapped pair is its exact mirror."""
        if not self.sizes[0]:
            return Interval(-1.0, 1.0)
        return Interval(-self.swap().largest_gain(critical), self.largest_gain(critical))

    def swap(self) -> F1Pairs:
        return replace(self, positives=self.positives.swap(), rest=self.rest.swap())

    def largest_gain(self, critical: float) -> float:
        tables = limit_tables([*self.positives.shares(), *self.rest.shares()], critical)

        def gain(deviates: Floats) -> Floats:
            shares = shares_at(deviates, tables)
            (recall, new_recall), (specificity, new_specificity) = rates_of(*shares[:3]), rates_of(*shares[3:])
            return f1_of(new_recall, new_specificity, self.sizes) - f1_of(recall, specificity, self.sizes)

        return largest_value(gain, 6)


def f1_of(recall: Floats, specificity: Floats, sizes: tuple[int, int]) -> Floats:
    """F1 of `sizes[0]` positive items found with `recall`, and `sizes[1]` others left alone with `specificity`."""
    positives, rest = sizes
    value: Floats = 2 * positives * recall / (positives * recall + positives + rest * (1 - specificity))
    return value


def rates_of(changes: Floats, right: Floats, gains: Floats) -> tuple[Floats, Floats]:
    """The rates of right items before and after, from the three shares of `PairedCount.shares`."""
    constant = (1 - changes) * right
    return constant + changes * (1 - gains), constant + changes * gains


def limit_tables(counts: Sequence[BinomialCount], critical: float) -> Floats:
    """[counts, 2 GRID - 1]: the share at each of evenly spaced deviates from -critical to critical.

    A share of no items may be anything at no cost: 0 below, and 1 from 0 on.
    """
    reach = min(critical, LARGEST_DEVIATE)
    hits, n = (np.array([getattr(c, name) for c in counts], np.float64)[:, None] for name in ("hits", "n"))
    nodes = np.linspace(0.0, reach, NODES)
    sides = lower_limits(np.concatenate([hits, n - hits]), np.concatenate([n, n]), special.ndtr(-nodes))
    dense = interpolate.PchipInterpolator(nodes, sides, axis=1)(np.linspace(0.0, reach, GRID))
    below, above = dense[: len(counts)], 1 - dense[len(counts) :]
    table = np.concatenate([below[:, :0:-1], above], axis=1)
    return np.where(n > 0, table, np.arange(2 * GRID - 1) >= GRID - 1)


def lower_limits(hits: Floats, n: Floats, tails: Floats) -> Floats:
    """[k, tails]: the share under which `hits` [k, 1] of `n` or more have a mid-P tail of just this size; by bisection."""
    low, high = np.zeros((len(hits), len(tails))), np.ones((len(hits), len(tails)))
    for _ in range(50):
        middle = (low + high) / 2
        at_least = special.betainc(np.maximum(hits, 1e-300), n - hits + 1, middle)
        above = special.betainc(hits + 1, np.maximum(n - hits, 1e-300), middle)
        tail = (np.where(hits > 0, at_least, 1.0) + np.where(hits < n, above, 0.0)) / 2
        low, high = np.where(tail < tails, middle, low), np.where(tail < tails, high, middle)
    return np.where(hits > 0, (low + high) / 2, 0.0)


def shares_at(deviates: Floats, tables: Floats) -> list[Floats]:
    """The share of each table [k, 2 GRID - 1] at its deviate; deviates [..., k] in units of the critical value."""
    grid = np.linspace(-1.0, 1.0, 2 * GRID - 1)
    return [np.interp(deviates[..., i], grid, table) for i, table in enumerate(tables)]


def largest_value(value: Callable[[Floats], Floats], dimensions: int) -> float:
    """The largest value of a function on the unit sphere: from the best of a coarse grid, by ever smaller steps."""
    starts = normalize(np.array([s for s in product((-1.0, 0.0, 1.0), repeat=dimensions) if any(s)]))
    values = value(starts)
    best = np.argsort(-values, kind="stable")[:CLIMBERS]
    points, heights, steps = starts[best], values[best], np.full(len(best), FIRST_STEP)
    moves = starts[np.count_nonzero(starts, axis=1) <= 2]
    while (steps > LAST_STEP).any():
        tries = normalize(points[:, None] + steps[:, None, None] * moves)
        new_heights = value(tries)
        which = np.argmax(new_heights, axis=1)
        top = np.take_along_axis(new_heights, which[:, None], axis=1)[:, 0]
        higher = top > heights + LEAST_RISE * steps
        points = np.where(higher[:, None], tries[np.arange(len(points)), which], points)
        heights, steps = np.maximum(heights, top), np.where(higher, steps, steps / 2)
    return float(heights.max())


def normalize(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def group_sizes(design: Design) -> tuple[int, int]:
    positives = int(np.sum(design.group == design.positive))
    return positives, len(design.group) - positives
