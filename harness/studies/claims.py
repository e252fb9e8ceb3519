"""The claims of a published study, tested on a study of one's own: each hypothesis is a contrast of recipes by their labels.

A direction is a region of differences: greater is (0, inf), less (-inf, 0), equal (-margin, margin), not greater
(-inf, margin), not less (-margin, inf).  A hypothesis is supported where the interval lies inside of its region and
contradicted where it lies outside, both after correction for the number of hypotheses.  A supported `equal` is a pair of
one-sided tests (Schuirmann 1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from harness import published
from harness.grouping import group_by
from harness.statistics import multiple_testing, power
from harness.statistics.aggregates import Floats
from harness.studies import claims_file, record
from harness.studies.claims_contrast import combine, contrast, region_p_values, select
from harness.studies.claims_file import (
    ACCURACY,
    AVERAGE,
    BEST_OF_N,
    LEVEL,
    POINTS,
    CitedFigure,
    ClaimsFile,
    Hypothesis,
    HypothesisVerdict,
    RecipeSelection,
)
from harness.studies.claims_measures import StudyMeasures
from harness.studies.trained_model import NotInStudy, TrainedModel
from harness.types import SKILLS, unknown_name

FAMILIES: Mapping[str, tuple[Callable[[Floats], Floats], str]] = {
    "holm": (
        multiple_testing.holm,
        "Holm over the {n} tests: a wrong verdict anywhere among them has a probability of 5 % at most",
    ),
    "bh": (
        multiple_testing.benjamini_hochberg,
        "Benjamini-Hochberg over the {n} tests: of the verdicts given, 5 % are wrong at most, on average",
    ),
    "none": (np.asarray, "no correction for the {n} tests"),
}
REWARD_COLUMNS = {ACCURACY: "rewardbench", BEST_OF_N: BEST_OF_N}  # measured on the reward model alone: the published column


@dataclass(frozen=True)
class MeasuredDifference:
    """What a study shows of a hypothesis.  In points of 0..100; of a cost, how many times as much."""

    unit: Literal["points", "times"]
    estimate: float
    low: float
    high: float
    p: float
    p_adjusted: float  # within the family
    detectable: float  # the smallest difference from the region's end that is found 4 times in 5; NaN: there is no error
    pairs: int  # of recipes, over the labels that both sides have
    runs: int
    from_runs: float  # share of the variance that only more runs would shrink
    single: tuple[str, ...] = ()  # recipes of a single run


@dataclass(frozen=True)
class HypothesisResult:
    """`reason`: why it was not run."""

    test: Hypothesis
    published: CitedFigure | None
    verdict: HypothesisVerdict = "not run"
    measured: MeasuredDifference | None = None
    reason: str = ""

    def adjust(self, p: float) -> HypothesisResult:
        """With the p-value within the family, and the verdict that it allows."""
        assert self.measured
        verdict: HypothesisVerdict = self.verdict if p <= 1 - LEVEL else "inconclusive"
        return replace(self, verdict=verdict, measured=replace(self.measured, p_adjusted=p))


@dataclass(frozen=True)
class ClaimResult:
    """`reason`: why the claim has no hypothesis."""

    claim: str
    verdict: HypothesisVerdict
    hypotheses: tuple[HypothesisResult, ...]
    reason: str = ""


@dataclass(frozen=True)
class RecipeScore:
    """Points with a 95 % interval over items and runs; None: not measured.  `published`: the cell of the published table."""

    score: float | None = None
    low: float | None = None
    high: float | None = None
    published: float | None = None


@dataclass(frozen=True)
class RecipeLine:
    """One recipe of a table: a score for each column, and the name of the published row under it."""

    recipe: str
    runs: int
    cells: tuple[RecipeScore, ...]
    published: str = ""


@dataclass(frozen=True)
class RecipeTable:
    name: str
    title: str
    columns: tuple[str, ...]
    lines: tuple[RecipeLine, ...]


@dataclass(frozen=True)
class ClaimsReport:
    """All claims of a file on one study; `family` says what was corrected for."""

    study: str
    summary: str
    family: str
    claims: tuple[ClaimResult, ...]
    tables: tuple[RecipeTable, ...]

    def hypotheses(self) -> list[HypothesisResult]:
        return [h for claim in self.claims for h in claim.hypotheses]


def assess_claims(study: Path, file: str | Path, family: str = "holm") -> ClaimsReport:
    """The claims in a file, and its tables, on a study's folder."""
    if family not in FAMILIES:
        raise unknown_name("correction for many tests", family, FAMILIES)
    measures, claims = StudyMeasures(record.read(study)), claims_file.read(claims_file.find(file))
    return assess(measures, claims, family)


def assess(measures: StudyMeasures, claims: ClaimsFile, family: str) -> ClaimsReport:
    results = {h.name: measure(measures, h, claims.figure(h.published, h.measure)) for h in claims.hypotheses()}
    p_values = {name: r.measured.p for name, r in results.items() if r.measured}
    correction, words = FAMILIES[family]
    for name, p in zip(p_values, correction(np.array(list(p_values.values()))), strict=True):
        results[name] = results[name].adjust(float(p))
    parts = []
    for claim in claims.claims:
        own = tuple(results[h.name] for h in claim.tests)
        parts.append(ClaimResult(claim.claim, claim_verdict([r.verdict for r in own]), own, claim.untested))
    correction_words = words.format(n=len(p_values))
    return ClaimsReport(measures.record.name, claims.summary, correction_words, tuple(parts), recipe_tables(measures, claims))


def measure(measures: StudyMeasures, hypothesis: Hypothesis, figure: CitedFigure | None) -> HypothesisResult:
    """The difference that a hypothesis is about, with the verdict that its own p-value would give; or why there is none."""
    try:
        weights, pairs = contrast(measures, hypothesis)
        difference = combine(measures, weights)
    except NotInStudy as missing:
        return HypothesisResult(hypothesis, figure, reason=f"not in this study: {missing}")
    inside, outside = region_p_values(difference, *hypothesis.region)
    scale: Callable[[float], float] = math.exp if hypothesis.is_cost else lambda value: POINTS * value
    p, total = min(inside, outside), difference.from_items + difference.from_runs
    measured_difference = MeasuredDifference(
        unit="times" if hypothesis.is_cost else "points",
        estimate=scale(difference.delta),
        low=scale(difference.interval.low),
        high=scale(difference.interval.high),
        p=p,
        p_adjusted=p,
        detectable=scale(power.detectable_from_error(difference.error, difference.freedom) if difference.error else math.nan),
        pairs=pairs,
        runs=len({model for column in weights.values() for model in column}),
        from_runs=difference.from_runs / total if total else 0.0,
        single=difference.single,
    )
    return HypothesisResult(hypothesis, figure, "supported" if inside <= outside else "contradicted", measured_difference)


def claim_verdict(verdicts: Sequence[HypothesisVerdict]) -> HypothesisVerdict:
    """The verdict on a claim of several hypotheses: every one must hold."""
    if "contradicted" in verdicts:
        return "contradicted"
    if set(verdicts) <= {"not run"}:
        return "not run"
    return "supported" if set(verdicts) == {"supported"} else "inconclusive"


def recipe_tables(measures: StudyMeasures, claims: ClaimsFile) -> tuple[RecipeTable, ...]:
    """The tables of a file of claims that have a recipe in this study."""
    skills = measures.answers.skills() if claims.tables else {}
    skill_columns = [s for s in SKILLS if s in skills] + sorted(skills.keys() - set(SKILLS))
    tables = []
    for layout in claims.tables:
        columns = (*(REWARD_COLUMNS if layout.rewards else ()), AVERAGE, *skill_columns)
        lines = tuple(line for row in layout.rows for line in recipe_lines(measures, claims, row, columns))
        if lines:
            tables.append(RecipeTable(layout.name, layout.title, columns, lines))
    return tuple(tables)


def recipe_lines(measures: StudyMeasures, claims: ClaimsFile, row: RecipeSelection, columns: Sequence[str]) -> list[RecipeLine]:
    """A line for every recipe of a selection."""
    try:
        recipes = group_by(select(measures.record.policies, row.these), lambda m: m.recipe)
    except NotInStudy:
        return []
    citation = row.published
    figures: dict[str, float | None] = {}
    for column in columns:
        name = REWARD_COLUMNS.get(column, column)
        if citation and name in published.load_study(claims.published).table(citation.table).layout.columns:
            figure = claims.figure(citation, [name])
            figures[column] = figure.value if figure else None
    words = (citation.note or ", ".join(citation.row)) if citation else ""
    return [
        RecipeLine(
            runs[0].description, len(runs), tuple(recipe_score(measures, runs, c, figures.get(c)) for c in columns), words
        )
        for runs in recipes.values()
    ]


def recipe_score(measures: StudyMeasures, runs: Sequence[TrainedModel], column: str, figure: float | None) -> RecipeScore:
    """The mean of a skill, the average, or a measure of the reward model over the runs of a recipe."""
    try:
        models = measures.reward_models(runs, column) if column in REWARD_COLUMNS else runs
        shares = measures.columns([column])
        weights = {c: {run: share / len(models) for run in models} for c, share in shares.items()}
        score = combine(measures, weights, shrink=column not in REWARD_COLUMNS)
    except NotInStudy:
        return RecipeScore(published=figure)
    low, high = max(0.0, score.interval.low), min(1.0, score.interval.high)
    return RecipeScore(POINTS * score.delta, POINTS * low, POINTS * high, figure)
