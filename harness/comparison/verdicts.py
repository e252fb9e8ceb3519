"""Verdicts: p-values within their family, and what they and the interval allow to be said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.comparison.estimates import Change, Finding
from harness.comparison.result import LEVELS, Difference, Flips, Level, Row, Settings, Verdict
from harness.statistics import multiple_testing
from harness.statistics.estimate import Floats

POINTS = 100


def rows(findings: Sequence[Finding], settings: Settings) -> tuple[list[Row], dict[str, str]]:
    """A row for each finding, and for each level the words that say what was corrected for."""
    made: list[Row] = []
    words: dict[str, str] = {}
    for level in LEVELS:
        mine = [f for f in findings if f.level == level]
        made += [row(f, None) for f in mine if f.change is None]
        changed = [f for f in mine if f.change is not None]
        adjusted, words[level] = adjust(changed, level, settings)
        made += [row(f, difference(f.change, p, settings)) for f, p in zip(changed, adjusted, strict=True) if f.change]
    return made, words


def adjust(changed: Sequence[Finding], level: Level, settings: Settings) -> tuple[Floats, str]:
    """The adjusted p-values of one level, and the choice in words."""
    known = [f.change for f in changed if f.change]
    p = np.array([c.tested.p for c in known])
    who = np.array([f.checkpoint for f in changed])
    candidates = len(set(who))
    choice = settings.family
    if choice == "auto":
        choice = "holm" if candidates < 2 else "max-t"
    if not known or choice == "none":
        return p, "no correction for the number of tests"
    size = f"{len(p)} tests ({candidates} candidates)" if candidates > 1 else f"{len(p)} tests"
    if choice == "bh":
        words = f"Benjamini-Hochberg over {size}, for exploring: the share of false alarms among the alarms"
        return multiple_testing.benjamini_hochberg(p), words
    if choice == "holm":
        adjusted = np.empty(len(p))
        for name in set(who):
            adjusted[who == name] = multiple_testing.holm(p[who == name])
        return adjusted, f"Holm over the {level}s of each candidate" if level != "average" else "one test a candidate"
    adjusted = multiple_testing.max_t(
        np.array([c.part.contributions.sum() for c in known]),
        np.stack([c.part.sums for c in known]),
        np.array([c.part.scale for c in known]),
    )
    # A drawn p-value may come out just below the exact one that it adjusts.
    return np.maximum(p, adjusted), f"step-down max-T over {size}, {settings.draws} joint sign flips"


def difference(change: Change, adjusted: float, settings: Settings) -> Difference:
    """A change in points, with its verdict."""
    part, tested = change.part, change.tested
    low, high = POINTS * part.interval.low, POINTS * part.interval.high
    return Difference(
        pairs=change.pairs,
        delta=POINTS * part.value,
        delta_low=low,
        delta_high=high,
        p=tested.p,
        p_error=tested.error,
        mde=POINTS * change.mde,
        p_adjusted=float(adjusted),
        verdict=verdict(POINTS * part.value, (low, high), float(adjusted), settings, change.noise is not None),
        flips=Flips(*change.flips) if change.flips else None,
        missing=change.missing,
        noise=None if change.noise is None else POINTS * change.noise,
    )


def verdict(delta: float, interval: tuple[float, float], adjusted: float, settings: Settings, noisy: bool = False) -> Verdict:
    """better or worse where the adjusted p-value proves it; same where the whole interval lies within the margin.

    `same` is a pair of one-sided tests (Schuirmann 1987) at half of 1 - level: a difference of the margin or more is called
    the same at most that often.  The p-value knows nothing of noise: where that was measured (`noisy`), the interval must
    exclude 0 as well.
    """
    proven = adjusted <= 1 - settings.level and (not noisy or interval[0] > 0 or interval[1] < 0)
    if proven and delta:
        return "better" if delta > 0 else "worse"
    return "same" if -settings.margin <= interval[0] and interval[1] <= settings.margin else "unclear"


def row(finding: Finding, found: Difference | None) -> Row:
    own = finding.own
    return Row(
        checkpoint=finding.checkpoint,
        level=finding.level,
        name=finding.name,
        skill=finding.skill,
        n=own.n,
        score=POINTS * own.score,
        score_low=POINTS * own.interval.low,
        score_high=POINTS * own.interval.high,
        unscored=finding.health.get("unscored", 0),
        if_wrong=POINTS * own.bounds.low,
        if_right=POINTS * own.bounds.high,
        difference=found,
        tokens=finding.tokens,
        health=finding.health,
        reasons=finding.reasons,
        metrics=finding.metrics,
    )
