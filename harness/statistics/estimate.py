"""The uncertainty of one score: its variance, its interval, and its bounds where samples have no score.

The variance of an aggregate is the sum of the squared cluster sums of its influences (see `aggregates`).  Scores are in 0..1,
and arrays are [samples] unless another shape is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from harness.statistics.aggregates import Design, Floats, Interval, aggregate_value, influences, means_of_strata

ROUNDING = 1e-20  # a smaller variance is rounding error alone


@dataclass(frozen=True)
class Variance:
    """A variance and the degrees of freedom that it was estimated with."""

    value: float
    freedom: float


def robust_variance(influence: Floats, design: Design) -> Variance:
    """The variance of an aggregate: in each stratum C/(C-1) times the sum of squared cluster sums of influences.

    With one stratum this is the CR1 estimate of Liang and Zeger (1986) for an intercept.  With several it is the stratified
    estimate of Cochran (1977, 5.3), with the degrees of freedom of Satterthwaite (1946).  NaN where no stratum has two
    clusters.
    """
    if len(influence) < 2:
        return Variance(float("nan"), 1.0)
    cluster_sums = np.bincount(design.clusters, weights=influence)
    clusters_per_stratum = np.bincount(design.cluster_strata).astype(np.float64)
    squares = np.bincount(design.cluster_strata, weights=cluster_sums**2)
    estimable = clusters_per_stratum > 1
    if not estimable.any():
        return Variance(float("nan"), 1.0)
    count = clusters_per_stratum[estimable]
    per_stratum = squares[estimable] * count / (count - 1)
    # A stratum with a single cluster says nothing about its own variance: it is given the average of the others.
    inflation = len(clusters_per_stratum) / int(estimable.sum())
    total = float(per_stratum.sum()) * inflation
    denominator = float(np.sum(per_stratum**2 / (count - 1))) * inflation**2
    return Variance(total, total**2 / denominator if denominator > 0 else float(np.sum(count - 1)))


def effective_size(design: Design) -> float:
    """Kish's (1965, 8.2) effective number of independent samples, from the weights of the clusters alone."""
    sizes = design.sizes
    sample_weight = 1 / (len(sizes) * sizes) if design.aggregate == "macro" else np.full(len(sizes), 1.0)
    cluster_weight = np.bincount(design.clusters, weights=sample_weight[design.strata])
    return float(cluster_weight.sum() ** 2 / np.sum(cluster_weight**2))


def critical_value(level: float, freedom: float = float("inf")) -> float:
    """The two-sided critical value of Student's t, or of the normal distribution."""
    return float(special.ndtri(0.5 + level / 2) if np.isinf(freedom) else special.stdtrit(freedom, 0.5 + level / 2))


def wilson_interval(share: float, n: float, critical: float) -> Interval:
    """Wilson's (1927) score interval of a share of n independent samples, in 0..1; n need not be whole.

    (p + z^2/2n  +-  z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    """
    z2 = critical**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half_width = critical / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(max(0.0, float(centre - half_width)), min(1.0, float(centre + half_width)))


@dataclass(frozen=True)
class ScoreEstimate:
    """A score in 0..1, with everything that its interval is made of.

    `n`: the number of samples, or the effective number, for Wilson's interval; NaN for Student's.
    """

    score: float
    method: Literal["none", "wilson", "student"]
    n: float
    critical: float  # of the normal distribution, or of Student's t with `variance.freedom`
    variance: Variance

    @property
    def interval(self) -> Interval:
        if self.method == "none":
            return Interval(0.0, 1.0)
        if self.method == "wilson":
            return wilson_interval(self.score, self.n, self.critical)
        half_width = self.critical * float(np.sqrt(self.variance.value))
        return Interval(max(0.0, self.score - half_width), min(1.0, self.score + half_width))


def estimate_score(scores: Floats, design: Design, level: float = 0.95) -> ScoreEstimate:
    """One score and the method of its interval.

    Wilson for a plain mean of 0/1 scores.  For 0/1 scores in clusters or strata, Wilson with the effective sample size
    p(1-p)/variance (Korn and Graubard 1998; Dean and Pagano 2015).  Otherwise Student's t around the cluster-robust
    variance, cut to 0..1.
    """
    normal, no_variance = critical_value(level), Variance(float("nan"), float("inf"))
    if len(scores) == 0:
        return ScoreEstimate(float("nan"), "none", 0.0, normal, no_variance)
    score, influence = influences(scores, design)
    if design.is_plain and is_binary(scores):
        return ScoreEstimate(score, "wilson", len(scores), normal, no_variance)
    variance = robust_variance(influence, design)
    if np.isnan(variance.value):
        return ScoreEstimate(score, "wilson", effective_size(design), normal, variance)
    if variance.value <= ROUNDING or not 0 < score < 1:
        # Equal scores have no variance to go by.  Wilson is a safe bound: of all variables in 0..1 with one mean, the 0/1
        # variable has the largest variance.
        critical = critical_value(level, max(variance.freedom, 1.0))
        return ScoreEstimate(score, "wilson", effective_size(design), critical, variance)
    critical = critical_value(level, variance.freedom)
    if is_binary(scores):
        return ScoreEstimate(score, "wilson", score * (1 - score) / variance.value, critical, variance)
    return ScoreEstimate(score, "student", float("nan"), critical, variance)


def is_binary(scores: Floats) -> bool:
    return bool(np.all((scores == 0) | (scores == 1)))


def unscored_bounds(scores: Floats, design: Design) -> Interval:
    """The aggregate with every unscored sample (NaN) counted wrong, and counted right."""
    missing = np.isnan(scores)
    low, high = (aggregate_value(means_of_strata(np.where(missing, fill, scores), design), design) for fill in (0.0, 1.0))
    return Interval(low, high)


def pseudo_values(design: Design, scores: Floats) -> Floats:
    """[checkpoints, clusters] of scores [checkpoints, samples]: their plain mean over clusters is the aggregate itself.

    A cluster's pseudo-value is the aggregate plus the number of clusters times the cluster's influence.  This is the score of
    an item where every item is a cluster, and holds by linearisation for a macro mean and for F1.  Samples that some
    checkpoint has no score for (NaN) are left out.
    """
    complete = np.asarray(~np.isnan(scores).any(axis=0))
    common = design.subset(complete)
    count = int(common.clusters.max()) + 1 if complete.any() else 0
    values = np.empty((len(scores), count))
    for place, row in enumerate(scores[:, complete]):
        score, each = influences(row, common)
        values[place] = score + count * np.bincount(common.clusters, weights=each, minlength=count)
    return values
