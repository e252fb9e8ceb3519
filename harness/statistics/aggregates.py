"""How the scores of samples make one score: the mean, the macro mean or F1, and the influence of each sample on it.

Each aggregate is a smooth function of the means of strata.  The plain mean has one stratum, the macro mean one for each
group, and F1 two: the positive group and the rest.  Linearisation (Hampel 1974; Särndal, Swensson and Wretman 1992, 5.5)
gives the influence of sample i in stratum h, which holds n_h samples:

    influence_i = slope_h / n_h * (score_i - mean_h)

Scores are in 0..1, and arrays are [samples] unless another shape is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

if TYPE_CHECKING:
    from harness.types import Aggregate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of what it is about."""

    low: float
    high: float


@dataclass(frozen=True)
class Design:
    """How the n samples of a task depend on each other: `cluster` and `group` hold one code for each sample."""

    cluster: Ints
    group: Ints
    aggregate: Aggregate = "mean"
    positive: int = -1  # for f1: the code of the positive group

    def subset(self, rows: npt.NDArray[np.bool_]) -> Design:
        return Design(self.cluster[rows], self.group[rows], self.aggregate, self.positive)

    def repeat(self, times: int) -> Design:
        """The design of `times` draws of each sample, one draw of all of them after the other."""
        return Design(np.tile(self.cluster, times), np.tile(self.group, times), self.aggregate, self.positive)

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
    def is_independent(self) -> bool:
        """Whether every sample is a cluster of its own."""
        return len(self.cluster) == 0 or int(self.clusters.max()) + 1 == len(self.cluster)

    @cached_property
    def is_plain(self) -> bool:
        """Whether the aggregate is a mean of independent samples, so that closed forms hold."""
        return self.aggregate == "mean" and self.is_independent

    @cached_property
    def cluster_strata(self) -> Ints:
        """[C]: the stratum of each cluster; all 0 where a cluster lies in several strata, which merges the strata."""
        count = int(self.clusters.max()) + 1 if len(self.cluster) else 0
        strata = np.zeros(count, np.int64)
        strata[self.clusters] = self.strata
        return strata if bool(np.all(strata[self.clusters] == self.strata)) else np.zeros(count, np.int64)


def is_binary(scores: Floats) -> bool:
    return bool(np.all((scores == 0) | (scores == 1)))


def simple_design(n: int) -> Design:
    """The design of n independent samples of a plain mean."""
    return Design(np.arange(n), np.zeros(n, np.int64))


def cluster_sums(clusters: Ints, values: Floats) -> Floats:
    """[clusters]: the sums of values [samples] over the samples of each cluster."""
    return np.bincount(clusters, weights=values).astype(np.float64)


def means_of_strata(scores: Floats, design: Design) -> Floats:
    """[H]: the mean of each stratum."""
    return np.bincount(design.strata, weights=scores) / design.sizes


def aggregate_value(stratum_means: Floats, design: Design) -> float:
    """The aggregate from the stratum means [H]; NaN without samples."""
    if design.aggregate != "f1":
        return float(np.mean(stratum_means)) if len(stratum_means) else float("nan")
    true_positives, total = f1_counts(stratum_means, design)
    return 2 * true_positives / total


def aggregate_slopes(stratum_means: Floats, design: Design) -> Floats:
    """[H]: the derivative of the aggregate with respect to the mean of each stratum.

    For F1 = 2 TP / T with T = 2 TP + FP + FN, one more right decision changes (TP, T) by (1, 1) in the positive group
    (FN falls by 1) and by (0, -1) in the rest (FP falls by 1); the quotient rule gives (2 - F1) / T and F1 / T.
    """
    if design.aggregate != "f1":
        return np.full(len(stratum_means), 1 / max(len(stratum_means), 1))
    true_positives, total = f1_counts(stratum_means, design)
    f1 = 2 * true_positives / total
    return np.where(positive_strata(design), 2 - f1, f1) * design.sizes / total


def sample_weights(stratum_means: Floats, design: Design) -> Floats:
    """[samples]: the derivative of the aggregate with respect to each sample's score, at these stratum means [H]."""
    return (aggregate_slopes(stratum_means, design) / design.sizes)[design.strata]


def positive_strata(design: Design) -> npt.NDArray[np.bool_]:
    """[H]: which strata are the positive group; results may lack one of the two groups."""
    mask = np.zeros(len(design.sizes), np.bool_)
    mask[design.strata[design.group == design.positive]] = True
    return mask


def f1_counts(stratum_means: Floats, design: Design) -> tuple[float, float]:
    """True positives, and 2 TP + FP + FN, where a score of 1 is a right decision: F1 = 2 TP / (2 TP + FP + FN)."""
    positive, right = positive_strata(design), stratum_means * design.sizes
    true_positives = float(right[positive].sum())
    errors = float((design.sizes - right).sum())  # false negatives among the positives, false positives among the rest
    return true_positives, max(2 * true_positives + errors, 1.0)


def influences(scores: Floats, design: Design) -> tuple[float, Floats]:
    """The aggregate, and the influence of each sample on it; influences sum to 0 in every stratum."""
    stratum_means = means_of_strata(scores, design)
    weight = sample_weights(stratum_means, design)
    return aggregate_value(stratum_means, design), weight * (scores - stratum_means[design.strata])


def critical_value(level: float, freedom: float = float("inf")) -> float:
    """The two-sided critical value of Student's t, or of the normal distribution."""
    return float(special.ndtri(0.5 + level / 2) if np.isinf(freedom) else special.stdtrit(freedom, 0.5 + level / 2))
