"""How the interval of an F1, and of its difference, is made, as (method, formula with its inputs filled in)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.statistics.aggregates import critical_value

if TYPE_CHECKING:
    from harness.statistics.estimate import ScoreEstimate
    from harness.statistics.f1_interval import F1Counts, F1Pairs, PairedCount
    from harness.statistics.paired import PairedDifference

METHOD = "mid-P limits of the counts (Lancaster 1961)"
RULE = "whose shares have a sum of u^2 <= z^2, z = {z:.4g}, u: the normal deviates of their mid-P tails"
WIDER = "the wider of both on each side"


def score_from_counts(estimate: ScoreEstimate, counts: F1Counts, own: tuple[str, str], level: float) -> tuple[str, str]:
    """`own`: how the linearised interval is made, which joins where samples are not independent ones of 0/1."""
    positives, rest = counts.positives, counts.rest
    formula = (
        f"every F1 {RULE.format(z=estimate.normal)}; {positives.hits:.6g} of {positives.n:.6g} positive and "
        f"{rest.hits:.6g} of {rest.n:.6g} other decisions are right"
    )
    if estimate.method == "f1":
        return f"{own[0]}; {100 * level:g} % interval: {METHOD}", formula
    return f"{own[0]}, and {METHOD}, {WIDER}", f"{own[1]}; {formula} (in effective numbers of samples)"


def difference_from_counts(difference: PairedDifference, pairs: F1Pairs, level: float) -> tuple[str, str]:
    """The paired difference of an F1 and its interval."""
    formula = (
        f"every difference {RULE.format(z=critical_value(level))}; shares: changed of all, right of the unchanged, gained of "
        f"the changed; of {describe_pairs(pairs.positives)} positive and {describe_pairs(pairs.rest)} other items"
    )
    method = f"paired difference of the aggregates; {100 * level:g} % interval"
    if pairs.is_exact:
        return f"{method}: {METHOD}", f"{100 * difference.value:.4f}; {formula}"
    linear = "+- t * sqrt(cluster-robust variance plus two pseudo-observations)"
    return f"{method}: Student's t, and {METHOD}, {WIDER}", f"{100 * difference.value:.4f} {linear}; {formula}, effectively"


def describe_pairs(count: PairedCount) -> str:
    return f"{count.n:.6g} ({count.right:.6g} right under both, {count.losses:.6g} lost, {count.gains:.6g} gained)"
