"""The verdicts on a file of claims, and its tables of recipes: what a report shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from harness.studies.claims_file import CitedFigure, Hypothesis

HypothesisVerdict = Literal["supported", "contradicted", "inconclusive", "not run"]


@dataclass(frozen=True)
class MeasuredDifference:
    """What a study shows of a hypothesis.  In points of 0..100; of a cost, how many times as much."""

    unit: Literal["points", "times"]
    estimate: float
    low: float
    high: float
    p: float
    p_adjusted: float  # within the family
    detectable: float  # the smallest difference from the region's end that would have been found 4 times in 5
    pairs: int  # of recipes, over the labels that both sides have
    runs: int
    from_runs: float  # share of the variance that only more runs would shrink
    single: tuple[str, ...] = ()  # recipes of a single run


@dataclass(frozen=True)
class HypothesisResult:
    claim: str
    test: Hypothesis
    published: CitedFigure | None
    verdict: HypothesisVerdict = "not run"
    measured: MeasuredDifference | None = None
    reason: str = ""  # why it was not run


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
