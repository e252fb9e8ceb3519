"""The difference between two checkpoints on the same samples: its size, its interval and its p-value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.statistics import mcnemar, power, sign_flip_test
from harness.statistics.aggregates import (
    Design,
    Floats,
    Interval,
    cluster_sums,
    critical_value,
    influences,
    is_binary,
    means_of_strata,
    sample_weights,
)
from harness.statistics.estimate import Variance, cluster_variance
from harness.statistics.f1_interval import F1Pairs, PairedCount, group_sizes
from harness.statistics.pseudo_observations import (
    cluster_weight,
    information_share,
    least_sign_flip_p,
    pseudo_square,
    student_p,
)


@dataclass(frozen=True)
class PairedDifference:
    """Candidate minus baseline on the `n` samples that both have a score for.  Units: 0..1."""

    n: int
    value: float
    interval: Interval
    variance: float  # of the difference, with two pseudo-observations (see `pseudo_square`)
    freedom: float  # degrees of freedom of `variance`
    losses: int  # samples with a lower score than the baseline's, and `gains` with a higher one
    gains: int
    contributions: Floats  # [clusters]: their sum is the difference
    is_plain: bool  # a mean of independent 0/1 scores: McNemar and Tango apply
    pairs: F1Pairs | None = None  # the counts of an F1, which its interval is made of

    def test(self, seed: int = 0) -> sign_flip_test.PValue:
        """Exact McNemar for independent 0/1 scores, sign flips of clusters otherwise."""
        if self.is_plain:
            return sign_flip_test.PValue(mcnemar.exact_p(self.losses, self.gains))
        return sign_flip_test.two_sided_p(self.contributions, seed=seed)

    def quick_p(self) -> float:
        """Without draws: exact McNemar, or Student's t with what sign flips can prove at most."""
        if self.is_plain or not self.n:
            return mcnemar.exact_p(self.losses, self.gains)
        error, least = float(np.sqrt(self.variance)), least_sign_flip_p(self.contributions)
        return student_p(self.value, error, self.freedom, least)

    def detectable(self, level: float) -> float:
        """The smallest true difference that such data detect 4 times in 5; 1 where they may detect none."""
        if not self.n:
            return float("nan")
        if self.is_plain:
            discordance = max(self.losses + self.gains, 1) / self.n
            return power.detectable_difference(self.n, discordance, level=level)
        return min(1.0, power.detectable_from_error(float(np.sqrt(self.variance)), self.freedom, level=level))


def paired_difference(before: Floats, after: Floats, design: Design, level: float = 0.95) -> PairedDifference:
    """The difference after - before of two arrays [n] of scores of the same samples, without NaN.

    The interval is Tango's for independent 0/1 scores.  Otherwise it is Student's t around the cluster-robust variance of the
    differences of influences, cut to -1..1; of an F1 it is made from the counts (see `f1_interval`), and where scores are not
    independent ones of 0/1 it is the wider of both on each side.  Without samples: NaN, and the whole range as the interval.
    """
    if len(before) == 0:
        empty = np.zeros(0)
        return PairedDifference(0, float("nan"), Interval(-1.0, 1.0), float("nan"), 1.0, 0, 0, empty, False)
    (old, old_influence), (new, new_influence) = influences(before, design), influences(after, design)
    losses, gains = int(np.sum(after < before)), int(np.sum(after > before))
    plain = design.is_plain and is_binary(before) and is_binary(after)
    per_cluster = cluster_contributions(before, after, design)
    variance = add_pseudo_observations(cluster_sums(design.clusters, new_influence - old_influence), design)
    if plain:
        interval = mcnemar.tango_interval(losses, gains, len(before), critical_value(level))
    else:
        half_width = critical_value(level, variance.freedom) * float(np.sqrt(variance.value))
        interval = Interval(max(-1.0, new - old - half_width), min(1.0, new - old + half_width))
    difference = PairedDifference(
        len(before), new - old, interval, variance.value, variance.freedom, losses, gains, per_cluster, plain
    )
    return use_counts(difference, count_pairs(before, after, design), level) if design.aggregate == "f1" else difference


def use_counts(linear: PairedDifference, pairs: F1Pairs, level: float) -> PairedDifference:
    """The difference of an F1 with the interval of its counts, and the variance that such a width has."""
    z = critical_value(level)
    of_counts, own = pairs.interval(z), Interval(linear.value, linear.value) if pairs.is_exact else linear.interval
    interval = Interval(min(of_counts.low, own.low), max(of_counts.high, own.high))
    error = (interval.high - interval.low) / 2 / z
    return replace(linear, interval=interval, variance=error**2, freedom=float("inf"), pairs=pairs)


def count_variance(before: Floats, after: Floats, design: Design) -> float:
    """The variance that the longer side of the interval from counts has, of the F1 of scores [runs, n]; 0 of other aggregates.

    Runs count as draws of the same samples.  Those of the side that has fewer are taken again.
    """
    if design.aggregate != "f1" or not before.size:
        return 0.0
    runs, z = max(len(before), len(after)), critical_value(0.95)
    old, new = (np.resize(side, (runs, side.shape[1])).ravel() for side in (before, after))
    draws = design.repeat(runs)
    interval, value = count_pairs(old, new, draws).interval(z), influences(new, draws)[0] - influences(old, draws)[0]
    return (max(interval.high - value, value - interval.low) / z) ** 2


def cluster_contributions(before: Floats, after: Floats, design: Design) -> Floats:
    """[clusters]: what each cluster adds to the difference, with the aggregate linearised between the two checkpoints.

    Exact for means.
    """
    # For F1 the slopes are taken at the average of both checkpoints.  Swapping the two scores of a sample leaves that average
    # as it is, so flipping the sign of a contribution is the same as swapping, and the sign-flip test stays exact.
    halfway = (means_of_strata(before, design) + means_of_strata(after, design)) / 2
    return cluster_sums(design.clusters, sample_weights(halfway, design) * (after - before))


def add_pseudo_observations(sums: Floats, design: Design, other_variance: float = 0.0) -> Variance:
    """The variance from sums [clusters] of influences, with one more lost and one more gained cluster.

    1 where it cannot be known: of one cluster alone, and of an F1 without positives, which no cluster moves.
    `other_variance`: the part that is not of the clusters, and is taken off.
    """
    # Without them, an interval of few changes is too short too often, and has no width where nothing changed.
    variance, whole = cluster_variance(sums, design), cluster_weight(design)
    if np.isnan(variance.value) or not whole:
        return Variance(1.0, 1.0)
    return Variance(max(variance.value - other_variance, 0.0) + 2 * pseudo_square(sums, whole), variance.freedom)


def count_pairs(before: Floats, after: Floats, design: Design) -> F1Pairs:
    """The counts behind a difference of F1 of scores [n] in 0..1 of the same samples."""
    groups = []
    for rows in (design.group == design.positive, design.group != design.positive):
        old, new, clusters = before[rows], after[rows], design.clusters[rows]
        share = min(information_share(values, clusters) for values in (old, new, new - old))
        losses, gains = (float(np.maximum(change, 0).sum()) for change in (old - new, new - old))
        both = float(np.minimum(old, new).sum())
        groups.append(PairedCount(share * int(rows.sum()), share * both, share * losses, share * gains))
    positives, rest = groups
    return F1Pairs(positives, rest, group_sizes(design), design.is_independent and is_binary(before) and is_binary(after))
