"""One score and how sure it is: an aggregate, the influence of every sample on it, its variance, its interval.

Every aggregate here is a smooth function of the means of strata: the plain mean has one stratum, the macro mean one for each
group, F1 two (the positive group, the rest).  By linearisation (Hampel 1974; Särndal, Swensson and Wretman 1992, 5.5) sample i
of stratum h with n_h samples then moves it by  slope_h / n_h * (score_i - mean_h),  and the variance is the sum of squared
cluster sums of these influences.  Scores are in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.types import Aggregate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NOTHING = 1e-20  # a variance that is only rounding


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """A variance and the degrees of freedom that it was estimated with."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Design:
    """How n samples of one task belong together: `cluster` and `group` hold one code a sample."""

    cluster: Ints
    group: Ints
    aggregate: Aggregate = "mean"
    positive: int = -1  # for f1: the code of the positive group

    def take(self, rows: npt.NDArray[np.bool_]) -> Design:
        return Design(self.cluster[rows], self.group[rows], self.aggregate, self.positive)

    @cached_property
    def strata(self) -> Ints:
        """The stratum of each sample, 0 .. H-1."""
        if self.aggregate == "mean":
            return np.zeros(len(self.group), np.int64)
        groups = self.group if self.aggregate == "macro" else (self.group != self.positive).astype(np.int64)
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def sizes(self) -> Floats:
        return np.bincount(self.strata).astype(np.float64)

    @cached_property
    def clusters(self) -> Ints:
        """The cluster of each sample, 0 .. C-1."""
        return np.unique(self.cluster, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def independent(self) -> bool:
        """Whether every sample is a cluster of its own."""
        return len(self.cluster) == 0 or int(self.clusters.max()) + 1 == len(self.cluster)

    @cached_property
    def plain(self) -> bool:
        """A mean of independent samples: what closed forms are for."""
        return self.aggregate == "mean" and self.independent

    @cached_property
    def nested(self) -> Ints:
        """The stratum of each cluster; all 0 where some cluster lies in several strata, which then cannot be told apart."""
        count = int(self.clusters.max()) + 1 if len(self.cluster) else 0
        first = np.zeros(count, np.int64)
        first[self.clusters] = self.strata
        return first if bool(np.all(first[self.clusters] == self.strata)) else np.zeros(count, np.int64)


def simple(n: int) -> Design:
    """The design of n independent samples of a plain mean."""
    return Design(np.arange(n), np.zeros(n, np.int64))


def means(scores: Floats, design: Design) -> Floats:
    """The mean of each stratum."""
    return np.bincount(design.strata, weights=scores) / design.sizes


def value(stratum_means: Floats, design: Design) -> float:
    """The aggregate, from the means of the strata."""
    if design.aggregate != "f1":
        return float(np.mean(stratum_means)) if len(stratum_means) else float("nan")
    hits, total = f1_parts(stratum_means, design)
    return 2 * hits / total


def slopes(stratum_means: Floats, design: Design) -> Floats:
    """The derivative of the aggregate with respect to the mean of each stratum."""
    if design.aggregate != "f1":
        return np.full(len(stratum_means), 1 / max(len(stratum_means), 1))
    hits, total = f1_parts(stratum_means, design)
    f1 = 2 * hits / total
    return np.where(positives(design), 2 - f1, f1) * design.sizes / total


def positives(design: Design) -> npt.NDArray[np.bool_]:
    """Which strata are the positive group (a task may lack one or the other)."""
    found = np.zeros(len(design.sizes), np.bool_)
    found[design.strata[design.group == design.positive]] = True
    return found


def f1_parts(stratum_means: Floats, design: Design) -> tuple[float, float]:
    """True positives, and 2 TP + FP + FN, where a score of 1 is a right decision: F1 = 2 TP / (2 TP + FP + FN)."""
    which, right = positives(design), stratum_means * design.sizes
    hits = float(right[which].sum())
    wrong = float((design.sizes - right).sum())  # false negatives among the positives, false positives among the rest
    return hits, max(2 * hits + wrong, 1.0)


def influences(scores: Floats, design: Design) -> tuple[float, Floats]:
    """The aggregate, and how far each sample moves it (their sum is 0 in every stratum)."""
    middle = means(scores, design)
    weight = (slopes(middle, design) / design.sizes)[design.strata]
    return value(middle, design), weight * (scores - middle[design.strata])


def spread(influence: Floats, design: Design) -> Spread:
    """The variance of an aggregate: in each stratum C/(C-1) times the sum of squared cluster sums of influences.

    With one stratum it is the CR1 estimate of Liang and Zeger (1986) for an intercept; with several, the stratified one of
    Cochran (1977, 5.3), with the degrees of freedom of Satterthwaite (1946).  A stratum with a single cluster says nothing
    about its own variance and takes the average of the others.
    """
    if len(influence) < 2:
        return Spread(float("nan"), 1.0)
    sums = np.bincount(design.clusters, weights=influence)
    count = np.bincount(design.nested).astype(np.float64)
    squares = np.bincount(design.nested, weights=sums**2)
    known = count > 1
    if not known.any():
        return Spread(float("nan"), 1.0)
    part = squares[known] * count[known] / (count[known] - 1)
    lonely = len(count) / int(known.sum())
    total = float(part.sum()) * lonely
    below = float(np.sum(part**2 / (count[known] - 1))) * lonely**2
    return Spread(total, total**2 / below if below > 0 else float(np.sum(count[known] - 1)))


def effective(design: Design) -> float:
    """Kish's (1965, 8.2) effective number of independent samples, from the weights of the clusters alone."""
    share = 1 / (len(design.sizes) * design.sizes) if design.aggregate == "macro" else np.full(len(design.sizes), 1.0)
    weight = np.bincount(design.clusters, weights=share[design.strata])
    return float(weight.sum() ** 2 / np.sum(weight**2))


def quantile(level: float, freedom: float = float("inf")) -> float:
    """The two-sided critical value of Student's t, or of the normal distribution."""
    return float(special.ndtri(0.5 + level / 2) if np.isinf(freedom) else special.stdtrit(freedom, 0.5 + level / 2))


def wilson(share: float, n: float, critical: float) -> Interval:
    """Wilson's (1927) score interval of a share seen in n independent samples."""
    square = critical**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = critical / (1 + square / n) * np.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return Interval(max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def score_interval(scores: Floats, design: Design, level: float = 0.95) -> Interval:
    """The interval of one score.

    Wilson for a plain mean of 0/1 scores.  For 0/1 scores in clusters or strata, Wilson with the effective sample size
    p(1-p)/variance (Korn and Graubard 1998; Dean and Pagano 2015).  Otherwise Student's t around the cluster-robust
    variance, cut to 0..1.  Where all scores are equal the variance says nothing, and Wilson is a safe bound: among all
    variables in 0..1 with one mean, the 0/1 variable has the largest variance.
    """
    if len(scores) == 0:
        return Interval(0.0, 1.0)
    middle, influence = influences(scores, design)
    if design.plain and binary(scores):
        return wilson(middle, len(scores), quantile(level))
    known = spread(influence, design)
    if np.isnan(known.variance):
        return wilson(middle, effective(design), quantile(level))
    critical = quantile(level, known.freedom)
    if known.variance <= NOTHING or not 0 < middle < 1:
        return wilson(middle, effective(design), quantile(level, max(known.freedom, 1.0)))
    if binary(scores):
        return wilson(middle, middle * (1 - middle) / known.variance, critical)
    half = critical * float(np.sqrt(known.variance))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def binary(scores: Floats) -> bool:
    return bool(np.all((scores == 0) | (scores == 1)))


def bounds(scores: Floats, design: Design) -> Interval:
    """The aggregate with every unscored sample (NaN) counted wrong, and counted right."""
    missing = np.isnan(scores)
    low, high = (value(means(np.where(missing, fill, scores), design), design) for fill in (0.0, 1.0))
    return Interval(low, high)
