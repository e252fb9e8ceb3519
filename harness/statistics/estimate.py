"""The uncertainty of one score: its variance, its interval, and its bounds where samples have no score.

The variance of an aggregate is the sum of the squared cluster sums of its influences (see `aggregates`).  Scores are in 0..1,
and arrays are [samples] unless another shape is given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.statistics.aggregates import (
    Design,
    Floats,
    Interval,
    aggregate_value,
    cluster_sums,
    critical_value,
    influences,
    is_binary,
    means_of_strata,
    sample_weights,
)
from harness.statistics.f1_interval import BinomialCount, F1Counts, group_sizes
from harness.statistics.pseudo_observations import (
    PSEUDO_PAIRS,
    ROUNDING,
    cluster_weight,
    information_share,
    pseudo_square,
    shrunk_mean,
    stratum_scale,
)

Method = Literal["none", "wilson", "student", "f1"]


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
    return cluster_variance(cluster_sums(design.clusters, influence), design)


def cluster_variance(sums: Floats, design: Design) -> Variance:
    """The variance of an aggregate from the sums [clusters] of its influences: see `robust_variance`."""
    count, scale = np.bincount(design.cluster_strata), stratum_scale(design)
    estimable = count > 1
    if not estimable.any():
        return Variance(float("nan"), 1.0)
    freedom = count[estimable] - 1.0
    per_stratum = (scale * np.bincount(design.cluster_strata, weights=sums**2))[estimable]
    total, denominator = float(per_stratum.sum()), float(np.sum(per_stratum**2 / freedom))
    return Variance(total, total**2 / denominator if denominator > 0 else float(np.sum(freedom)))


def effective_size(design: Design) -> float:
    """The effective number of independent samples, from the weights of the clusters alone."""
    sizes = design.sizes
    sample_weight = 1 / (len(sizes) * sizes) if design.aggregate == "macro" else np.full(len(sizes), 1.0)
    return kish_size(cluster_sums(design.clusters, sample_weight[design.strata]))


def kish_size(weights: Floats) -> float:
    """Kish's (1965, 8.2) effective number of independent values with these weights."""
    return float(weights.sum() ** 2 / np.sum(weights**2))


def wilson_interval(share: float, n: float, critical: float) -> Interval:
    """Wilson's (1927) score interval of a share of n independent samples, in 0..1; n need not be whole.

    (p + z^2/2n  +-  z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    """
    z2 = critical**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half_width = critical / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(max(0.0, min(share, float(centre - half_width))), min(1.0, max(share, float(centre + half_width))))


@dataclass(frozen=True)
class ScoreEstimate:
    """A score in 0..1, with everything that its interval is made of.

    `n`: the number of samples, or the effective number of independent ones.  `counts`: of an F1, with the critical value
    `normal` of the normal distribution.
    """

    score: float
    method: Method
    n: float
    critical: float  # of Student's t with `freedom`
    variance: Variance
    freedom: float = float("inf")
    counts: F1Counts | None = None
    normal: float = float("nan")

    def at_level(self, level: float) -> ScoreEstimate:
        """The same score with the interval of another level."""
        return replace(self, critical=critical_value(level, self.freedom), normal=critical_value(level))

    @property
    def interval(self) -> Interval:
        """Around the score; of an F1 of dependent or fractional scores the wider one on each side."""
        if self.counts is None:
            return self.linear_interval
        of_counts, own = self.counts.interval(self.normal), self.linear_interval
        return Interval(min(of_counts.low, own.low), max(of_counts.high, own.high))

    @property
    def linear_interval(self) -> Interval:
        """Without the counts of an F1; of counts alone the score itself."""
        if self.method == "f1":
            return Interval(self.score, self.score)
        if self.method == "none":
            return Interval(0.0, 1.0)
        if self.method == "wilson":
            return wilson_interval(self.score, self.n, self.critical)
        centre, error = shrunk_mean(self.score, self.variance.value, self.n)
        half_width = self.critical * error
        return Interval(max(0.0, min(self.score, centre - half_width)), min(1.0, max(self.score, centre + half_width)))


def bounded_estimate(score: float, variance: Variance, n: float, level: float) -> ScoreEstimate:
    """A mean of values in 0..1 with Student's interval around `shrunk_mean`; `n`: the effective number of values."""
    usable = Variance(0.0, 1.0) if np.isnan(variance.value) else variance
    return build_estimate(score, "student", n, usable, level, usable.freedom + 2 * PSEUDO_PAIRS)


def build_estimate(
    score: float, method: Method, n: float, variance: Variance, level: float, freedom: float = float("inf")
) -> ScoreEstimate:
    return ScoreEstimate(score, method, n, critical_value(level, freedom), variance, freedom)


def estimate_score(scores: Floats, design: Design, level: float = 0.95) -> ScoreEstimate:
    """One score and the method of its interval.

    From the counts for an F1 (see `f1_interval`), and where its scores are not independent ones of 0/1 from the others as well.
    Wilson for a plain mean of 0/1 scores.  For 0/1 scores in clusters or strata, Wilson with the effective sample size
    p(1-p)/variance, at most the number of samples (Korn and Graubard 1998; Dean and Pagano 2015).  Otherwise Student's t
    around the cluster-robust variance with two pseudo-observations (see `shrunk_mean`), cut to 0..1.
    """
    no_variance = Variance(float("nan"), float("inf"))
    if len(scores) == 0:
        return build_estimate(float("nan"), "none", 0.0, no_variance, level)
    if design.aggregate != "f1":
        return linear_estimate(scores, design, level)
    counts, normal = count_scores(scores, design), critical_value(level)
    own = linear_estimate(scores, design, level)
    if counts.is_exact:
        own = build_estimate(own.score, "f1", len(scores), no_variance, level)
    return replace(own, counts=counts, normal=normal)


def linear_estimate(scores: Floats, design: Design, level: float) -> ScoreEstimate:
    """One score with the interval of its linearised aggregate; at least one sample."""
    no_variance = Variance(float("nan"), float("inf"))
    score, influence = influences(scores, design)
    if design.is_plain and is_binary(scores):
        return build_estimate(score, "wilson", len(scores), no_variance, level)
    variance = robust_variance(influence, design)
    if np.isnan(variance.value):
        return build_estimate(score, "wilson", effective_size(design), variance, level)
    if variance.value <= ROUNDING or not 0 < score < 1:
        # Equal scores have no variance to go by.  Wilson is a safe bound: of all variables in 0..1 with one mean, the 0/1
        # variable has the largest variance.
        return build_estimate(score, "wilson", effective_size(design), variance, level, max(variance.freedom, 1.0))
    if not is_binary(scores):
        return bounded_estimate(score, variance, effective_size(design), level)
    size = effective_share_size(scores, score, variance.value, design)
    return build_estimate(score, "wilson", size, variance, level, variance.freedom)


def effective_share_size(scores: Floats, score: float, variance: float, design: Design) -> float:
    """The number of independent 0/1 samples that would know a share as well: p(1-p)/variance, at most all samples.

    Where few clusters hold all of the rarer outcome, the variance is luck: a whole cluster of it counts as seen once more,
    weighted as in `pseudo_square`.  Whole clusters are worth one sample each, so that their number is enough.
    """
    weight = sample_weights(means_of_strata(scores, design), design)
    rare = scores if score <= 0.5 else 1 - scores
    guard = pseudo_square(cluster_sums(design.clusters, weight * rare), cluster_weight(design))
    spread, clusters = score * (1 - score), effective_size(design)
    return min(max(spread / (variance + guard), min(clusters, spread / variance)), float(len(scores)))


def unscored_bounds(scores: Floats, design: Design) -> Interval:
    """The aggregate with every unscored sample (NaN) counted wrong, and counted right."""
    missing = np.isnan(scores)
    low, high = (aggregate_value(means_of_strata(np.where(missing, fill, scores), design), design) for fill in (0.0, 1.0))
    return Interval(low, high)


def pseudo_values(design: Design, scores: Floats) -> tuple[Floats, Design]:
    """[checkpoints, clusters] of scores [checkpoints, samples]: their plain mean over clusters is the aggregate itself.

    A cluster's pseudo-value is the aggregate plus the number of clusters times the cluster's influence.  This is the score of
    an item where every item is a cluster, and holds by linearisation for a macro mean and for F1.  Samples that some
    checkpoint has no score for (NaN) are left out; the design is that of the others.
    """
    complete = np.asarray(~np.isnan(scores).any(axis=0))
    common = design.subset(complete)
    count = int(common.clusters.max()) + 1 if complete.any() else 0
    values = np.empty((len(scores), count))
    for place, row in enumerate(scores[:, complete]):
        score, each = influences(row, common)
        values[place] = score + count * np.bincount(common.clusters, weights=each, minlength=count)
    return values, common


def count_scores(scores: Floats, design: Design) -> F1Counts:
    """The counts behind an F1 of scores [n] in 0..1."""
    groups = []
    for rows in (design.group == design.positive, design.group != design.positive):
        share = information_share(scores[rows], design.clusters[rows])
        groups.append(BinomialCount(share * float(scores[rows].sum()), share * int(rows.sum())))
    positives, rest = groups
    return F1Counts(positives, rest, group_sizes(design), design.is_independent and is_binary(scores))
