"""From estimates to rows: p-values adjusted within their family, and the verdict of each difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.result import LEVELS, ComparisonSettings, Difference, Flips, Level, Row
from harness.statistics import multiple_testing
from harness.statistics.aggregates import Floats
from harness.statistics.decision import DecisionRule

if TYPE_CHECKING:
    from harness.comparison.estimates import ChangeEstimate, Estimate

POINTS = 100


def judge_all(estimates: Sequence[Estimate], settings: ComparisonSettings) -> tuple[list[Row], dict[str, str]]:
    """A row for each estimate, and for each level its correction in words."""
    rows: list[Row] = []
    words: dict[str, str] = {}
    for level in LEVELS:
        of_level = [e for e in estimates if e.level == level]
        rows += [make_row(e, None) for e in of_level if e.change is None]
        candidates = [e for e in of_level if e.change is not None]
        p_adjusted, words[level] = adjust_p(candidates, level, settings)
        rows += [
            make_row(e, make_difference(e.change, p, settings)) for e, p in zip(candidates, p_adjusted, strict=True) if e.change
        ]
    return rows, words


def adjust_p(estimates: Sequence[Estimate], level: Level, settings: ComparisonSettings) -> tuple[Floats, str]:
    """[tests]: the adjusted p-values of one level, with the correction in words.

    The tests of one level are a family: with Holm those of each candidate, otherwise those of all candidates together.
    """
    changes = [f.change for f in estimates if f.change]
    p = np.array([c.p_value.p for c in changes])
    who = np.array([f.checkpoint for f in estimates])
    candidates = len(set(who))
    automatic = "holm" if candidates < 2 else "max-t"
    choice = automatic if settings.family == "auto" else settings.family
    if not changes or choice == "none":
        return p, "no correction for the number of tests"
    size = f"{len(p)} tests ({candidates} candidates)" if candidates > 1 else f"{len(p)} tests"
    if choice == "bh":
        words = f"Benjamini-Hochberg over {size}, for exploring: the share of false alarms among the alarms"
        return multiple_testing.benjamini_hochberg(p), words
    if choice == "holm":
        p_adjusted = np.empty(len(p))
        for name in set(who):
            p_adjusted[who == name] = multiple_testing.holm(p[who == name])
        return p_adjusted, f"Holm over the {level}s of each candidate" if level != "average" else "one test a candidate"
    p_adjusted = multiple_testing.step_down_max_t(
        np.array([c.component.contributions.sum() for c in changes]),
        np.stack([c.component.sums for c in changes]),
        np.array([c.component.null_sd for c in changes]),
    )
    # The drawn p-value may come out just below the exact one that it adjusts.
    return np.maximum(p, p_adjusted), f"step-down max-T over {size}, {settings.draws} joint sign flips"


def make_difference(change: ChangeEstimate, p_adjusted: float, settings: ComparisonSettings) -> Difference:
    """A difference in points, with its verdict."""
    component, p_value = change.component, change.p_value
    low, high = POINTS * component.interval.low, POINTS * component.interval.high
    rule = DecisionRule(settings.level, settings.margin)
    delta, p_adjusted = POINTS * component.value, float(p_adjusted)
    return Difference(
        pairs=change.pairs, missing=change.missing, flips=Flips(*change.flips) if change.flips else None,
        delta=delta, delta_low=low, delta_high=high, p=p_value.p, p_error=p_value.error, p_adjusted=p_adjusted,
        verdict=rule.verdict(delta, (low, high), p_adjusted),
        mde=POINTS * change.detectable, noise=None if change.noise is None else POINTS * change.noise,
        graded_mde=None if change.graded is None else POINTS * change.graded.detectable, missing_share=change.missing_share,
    )  # fmt: skip


def make_row(estimate: Estimate, difference: Difference | None) -> Row:
    """An estimate in points."""
    own = estimate.own
    return Row(
        checkpoint=estimate.checkpoint, level=estimate.level, name=estimate.name, skill=estimate.skill,
        n=own.n, score=POINTS * own.score, score_low=POINTS * own.interval.low, score_high=POINTS * own.interval.high,
        unscored=estimate.health.get("unscored", 0), if_wrong=POINTS * own.bounds.low, if_right=POINTS * own.bounds.high,
        difference=difference, metrics=estimate.metrics, termination=estimate.termination,
        tokens=estimate.tokens, health=estimate.health, reasons=estimate.reasons,
    )  # fmt: skip
