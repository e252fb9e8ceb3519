"""How each number of a comparison is made, as (method, formula with its inputs filled in).  Differences are in points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from harness.comparison import explain_f1
from harness.comparison.number_format import format_interval
from harness.comparison.result import ComparisonSettings, Difference, Level, Row
from harness.statistics import judge_error, power, sign_flip_test
from harness.statistics.aggregates import critical_value
from harness.statistics.decision import DecisionRule
from harness.statistics.estimate import ScoreEstimate
from harness.statistics.pseudo_observations import shrunk_mean
from harness.types import Aggregate

if TYPE_CHECKING:
    from harness.comparison.alignment import TaskDifference
    from harness.comparison.estimates import ChangeEstimate
    from harness.statistics.judge_error import ErrorRates

MethodAndFormula = tuple[str, str]
POINTS = 100
AGGREGATES: dict[Aggregate, str] = {
    "mean": "mean of the scored samples",
    "macro": "unweighted mean of the groups' means",
    "f1": "F1 = 2 TP / (2 TP + FP + FN) of the positive group",
}


def score(estimate: ScoreEstimate, aggregate: Aggregate, row: Row, level: float) -> MethodAndFormula:
    """A checkpoint's own score and the interval around it."""
    method = f"{AGGREGATES[aggregate]}, n = {row.n}"
    if estimate.method == "none":
        return f"{method}; no interval without scores", "the whole range"
    if estimate.counts is None:
        return linear_score(estimate, row, method, level)
    own = (method, "") if estimate.method == "f1" else linear_score(estimate, row, method, level)
    return explain_f1.score_from_counts(estimate, estimate.counts, own, level)


def linear_score(estimate: ScoreEstimate, row: Row, method: str, level: float) -> MethodAndFormula:
    """`method`: how the score itself is made."""
    variance = estimate.variance
    spread = f"cluster-robust variance {variance.value:.6g}, {variance.freedom:.4g} degrees of freedom"
    if estimate.method == "student":
        centre, error = shrunk_mean(estimate.score, variance.value, estimate.n)
        formula = (
            f"m +- t * error, t = {estimate.critical:.4g}, from p = {estimate.score:.6g}, n = {estimate.n:.6g}, {spread}, "
            f"with a 0 and a 1 added: m = {centre:.6g}, error = {error:.6g}"
        )
        return f"{method}; {100 * level:g} % interval: Student's t with two pseudo-observations, cut to 0..100", formula
    formula = (
        f"(p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), p = {estimate.score:.6g}, n = {estimate.n:.6g}, "
        f"z = {estimate.critical:.4g}"
    )
    if np.isnan(variance.value):
        size = "" if estimate.n == row.n else " with the effective number of samples"
    else:
        size, formula = " with the effective number of samples", f"{formula}; {spread}"
    return f"{method}; {100 * level:g} % interval: Wilson (1927){size}", formula


def task_difference(difference: TaskDifference, level: float) -> MethodAndFormula:
    """The paired difference on a task and its interval."""
    d = difference.delta
    widening = ""
    if difference.noise is not None:
        widening = f"; widened for repeat noise: {POINTS * difference.noise:.3g} % of scores change in a second answer"
    if d.is_plain:
        formula = (
            f"(c - b) / n = ({d.gains} - {d.losses}) / {d.n}; the interval holds every difference whose score statistic lies "
            f"within +- {critical_value(level):.4g}"
        )
        return f"gains minus losses; {100 * level:g} % interval: Tango (1998){widening}", formula
    if d.pairs is not None:
        method, formula = explain_f1.difference_from_counts(d, d.pairs, level)
        return f"{method}{widening}", formula
    t = critical_value(level, d.freedom)
    formula = (
        f"{POINTS * d.value:.4f} +- t * sqrt(variance), t = {t:.4g} with {d.freedom:.4g} degrees of freedom, "
        f"sqrt(variance) = {POINTS * np.sqrt(d.variance):.4f} (cluster-robust, plus two pseudo-observations)"
    )
    return f"paired difference of the aggregates; {100 * level:g} % interval: Student's t{widening}", formula


def p_value(change: ChangeEstimate, settings: ComparisonSettings, number: int | None, unit: str) -> MethodAndFormula:
    """The p-value of one difference.  `number`: the task's place, part of its seed; None for a mean.  `unit`: of the flips."""
    contributions = change.component.contributions
    count = int(np.sum(contributions != 0))
    if change.is_mcnemar:
        if change.flips is None:
            return "exact McNemar (1947) of its only task", f"p = {change.p_value.p:.6g}"
        b, c = change.flips
        formula = f"b = {b} lost, c = {c} gained: p = min(1, 2 * P(X <= {min(b, c)})), X ~ Binomial({b + c}, 1/2)"
        return "exact McNemar (1947)", f"{formula} = {change.p_value.p:.6g}"
    if count <= sign_flip_test.ENUMERATION_LIMIT:
        formula = f"the share of all 2^{count} sign patterns with |sum| >= {POINTS * abs(contributions.sum()):.4f}"
        return f"exact sign flips of the {count} {unit} that changed", f"{formula} = {change.p_value.p:.6g}"
    draws = len(change.component.sums)
    seed = f"seed ({settings.seed}, {number})" if number is not None else f"seed {settings.seed} with each task's number"
    formula = (
        f"(1 + draws with |sum| >= {POINTS * abs(contributions.sum()):.4f}) / (1 + draws) = "
        f"{round(change.p_value.p * (1 + draws))} / {1 + draws}"
    )
    return f"sign flips of the {count} {unit} that changed, {draws} draws, {seed}", formula


def correction(change: ChangeEstimate, difference: Difference, words: str, own: Sequence[float], size: int) -> MethodAndFormula:
    """The adjusted p-value; `own`: the p-values of the candidate's family, `size`: the tests of all candidates."""
    if words.startswith("Holm"):
        smaller = sorted(p for p in own if p <= difference.p)
        terms = [f"{len(own) - i} * {p:.4g}" for i, p in enumerate(smaller)]
        listed_terms = terms if len(terms) <= 4 else [*terms[:2], "...", terms[-1]]
        return f"{words}: a family of {len(own)}", f"min(1, max({', '.join(listed_terms)})) = {difference.p_adjusted:.6g}"
    if words.startswith("step-down max-T"):
        sd = change.component.null_sd
        ratio = abs(float(change.component.contributions.sum())) / sd if sd else 0.0
        formula = (
            f"|sum| / sd under random signs = {ratio:.4g}; (1 + draws in which this or a smaller statistic of the family "
            "reaches it) / (1 + draws), no less than p and than the p adjusted of larger statistics"
        )
        return f"{words}, seed as for p", f"{formula} = {difference.p_adjusted:.6g}"
    if words.startswith("Benjamini"):
        return words, f"the smallest of m p_(j) / j over the p-values from this one upwards, m = {size}"
    return words, f"p adjusted = p = {difference.p_adjusted:.6g}"


def judged_score(own: MethodAndFormula, rates: ErrorRates | None) -> MethodAndFormula:
    """A score's method and formula, with what the judge's measured errors add to its interval."""
    return own if rates is None else add_judge(own, rates, "(p - m0) / (m1 - m0)")


def judged_difference(own: MethodAndFormula, rates: ErrorRates | None) -> MethodAndFormula:
    return own if rates is None else add_judge(own, rates, "difference / (m1 - m0)")


def add_judge(own: MethodAndFormula, rates: ErrorRates, correction_formula: str) -> MethodAndFormula:
    """`correction_formula`: of m1 and m0, the mean grades where the truth is 1 and 0."""
    means = ", ".join(
        f"{name} = {side.mean:.4f} of {side.n} items with error {side.error:.4f}"
        for name, side in (("m1", rates.hit), ("m0", rates.miss))
    )
    method = f"{own[0]}; widened to hold what the judge's measured errors leave (Rogan and Gladen 1978)"
    return method, f"{own[1]}; corrected: {correction_formula}, {means}, {judge_error.DRAWS} draws, seed {judge_error.SEED}"


def task_detectable(difference: TaskDifference, level: float) -> MethodAndFormula:
    """The smallest true difference that the data of a task detect 4 times in 5."""
    d, factor = difference.delta, difference.error_factor
    if d.is_plain:
        formula = f"n = {d.n} pairs, discordance = max(b + c, 1) / n = {max(d.losses + d.gains, 1)} / {d.n}"
        own = f"the difference at which the exact McNemar test has a power of {POINTS * power.POWER:g} %", formula
    else:
        own = normal_detectable(critical_value(level, d.freedom), POINTS * float(np.sqrt(d.variance)))
    if factor <= 1:
        return own
    return own[0], f"{own[1]}; times {factor:.4g}, by which noise and a judge's errors stretch the error; 100 at most"


def normal_detectable(critical: float, error: float) -> MethodAndFormula:
    z = float(special.ndtri(power.POWER))
    most = f"; {POINTS} at most" if (critical + z) * error > POINTS else ""
    formula = f"({critical:.4g} + {z:.4g}) * {error:.4f}{most}"
    return f"(t + z) * standard error, for a power of {POINTS * power.POWER:g} %", formula


MOVER = "{side} = x {sign} sqrt(sum over i, j of r_ij (w (x_i - {side}_i)) (w (x_j - {side}_j)))"


def describe_mean(weights: Sequence[float]) -> str:
    """How the members are averaged, by their shares."""
    return "unweighted mean" if max(weights) - min(weights) < 1e-12 else "weighted mean"


def mean_score(weights: Sequence[float], level: Level, share_rows: bool) -> MethodAndFormula:
    """The score of a skill or of the average, by the shares of its members at `level`; `share_rows`: some share rows."""
    count = len(weights)
    if count == 1:
        return f"the score of its only {level}", "the same interval"
    low, high = MOVER.format(side="low", sign="-"), MOVER.format(side="high", sign="+")
    return f"{describe_mean(weights)} of {count} {level}s", f"{low}, {high}, cut to 0..100; {correlations(share_rows)}"


def correlations(share_rows: bool) -> str:
    return "r_ij: the correlation over the rows that i and j share" if share_rows else "r_ij = 0 for independent members"


def mean_difference(
    members: Sequence[Difference], weights: Sequence[float], difference: Difference, share_rows: bool
) -> MethodAndFormula:
    """The mean of the members' differences by their shares; `share_rows`: some of them share rows."""
    count = len(members)
    if count == 1:
        return "the difference of its only member", "the same interval"
    kind = describe_mean(weights)
    factors, divisor = ([""] * count, f" / {count}") if kind == "unweighted mean" else ([f"{w:.4g} * " for w in weights], "")
    down, up = (
        " + ".join(term(w, abs(m.delta - end)) for w, m, end in zip(factors, members, ends, strict=True))
        for ends in ([m.delta_low for m in members], [m.delta_high for m in members])
    )
    formula = f"{difference.delta:.4f} - sqrt({down}){divisor}, {difference.delta:.4f} + sqrt({up}){divisor}"
    more = ", and the products of members that share rows, with their correlation (Zou 2008)" if share_rows else ""
    return f"{kind} of {count} differences, each side by Zou and Donner (2008){more}", formula


def term(factor: str, distance: float) -> str:
    """A square under the root; `factor`: a weight and an asterisk, or nothing."""
    return f"({factor}{distance:.3f})^2" if factor else f"{distance:.3f}^2"


def mean_detectable(count: int, difference: Difference, level: float) -> MethodAndFormula:
    """The smallest true difference that the data of all members detect 4 times in 5."""
    if count == 1:
        return "that of its only member", "the same formula"
    z = critical_value(level)
    return normal_detectable(z, (difference.delta_high - difference.delta_low) / 2 / z)


def rule(difference: Difference, decision: DecisionRule) -> str:
    """The rule that gave the verdict, with its inputs."""
    alpha, margin = 1 - decision.level, decision.margin
    interval = format_interval(difference.delta_low, difference.delta_high, signed=True, decimals=4)
    if difference.verdict in ("better", "worse"):
        sign = ">" if difference.delta > 0 else "<"
        return f"p adjusted {difference.p_adjusted:.4g} <= {alpha:.4g} and difference {sign} 0, and the interval excludes 0"
    premise = f"p adjusted {difference.p_adjusted:.4g} <= {alpha:.4g}, but the interval includes 0"
    if difference.p_adjusted > alpha:
        premise = f"p adjusted {difference.p_adjusted:.4g} > {alpha:.4g}"
    extent = f"whole interval {interval} lies within" if difference.verdict == "same" else f"interval {interval} reaches beyond"
    return f"{premise}; the {extent} +- {margin:g} points"
