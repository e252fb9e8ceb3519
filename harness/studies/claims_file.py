"""A file of published claims: each with hypotheses over the labels of a study, and the figure that was published.

claims:
  - claim: the sentence that was published
    tests:
      - name: ppo-over-dpo
        says: PPO scores higher than DPO
        these: {method: ppo, reward: medium}   # a selection by labels; several values: [a, b]
        those: {method: dpo}                   # paired by every label that both have and that is not set apart here
        measure: average                       # a skill, a task, several of them, or one of MEASURES
        direction: greater                     # or less, equal, not greater, not less (the last three within the margin)
        published: {table: table2-differences, row: mean of the five, column: average}
    untested: why, where there is no test
tables:                                        # of recipes, with the published rows under them
  - {title: ..., rows: [{these: {...}, published: {table: table1, row: ...}}]}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator

from harness import config, published
from harness.own_packages import ROOT
from harness.published import Certainty  # fields are checked against it
from harness.types import SkilldeltaError, unknown_name
from harness.yaml_files import find_yaml

FOLDER = ROOT / "harness" / "studies"
LEVEL, POINTS = 0.95, 100  # of the intervals; of a score of 1
Direction = Literal["greater", "less", "equal", "not greater", "not less"]
HypothesisVerdict = Literal["supported", "contradicted", "inconclusive", "not run"]
NEED_MARGIN = ("equal", "not greater", "not less")
CERTAINTIES: tuple[Certainty, ...] = get_args(Certainty)
COSTS = ("flops", "seconds")
ACCURACY, BEST_OF_N, STEPS, AVERAGE = "reward accuracy", "best of n", "worked steps", "average"
REWARD_MEASURES = (ACCURACY, BEST_OF_N)  # measured on reward models, not on policies
MEASURES = (AVERAGE, *COSTS, *REWARD_MEASURES, STEPS)


def tuple_texts(value: Any) -> tuple[Any, ...]:
    """A single value as a tuple of one."""
    return tuple(each if each is None else str(each) for each in (value if isinstance(value, list | tuple) else [value]))


Names = Annotated[
    Sequence[str], BeforeValidator(tuple_texts)
]  # no tuple: names hold commas, at which text for a tuple is split
Selection = Mapping[str, Names]  # for each label the values that are selected


@dataclass(frozen=True)
class Citation:
    """A published figure: the mean over rows of a table, less that over the rows of `minus`; or a figure itself."""

    table: str = ""
    row: Names = ()  # rows, or groups of rows
    minus: Names = ()
    column: str = ""
    figure: float | None = None
    certainty: Certainty | None = None
    note: str = ""


@dataclass(frozen=True)
class CitedFigure:
    """What a citation comes to; `value` is None where no figure was published."""

    value: float | None
    certainty: str
    note: str = ""


@dataclass(frozen=True)
class Comparand:
    """Two selections and a measure.  As `beyond`, an empty part is taken over from the hypothesis."""

    these: Selection = field(default_factory=dict)
    those: Selection = field(default_factory=dict)
    measure: Names = ()


@dataclass(frozen=True)
class Hypothesis:
    """`these` minus `those` of a measure; with `beyond`, less the same difference of other selections or another measure."""

    name: str
    says: str
    these: Selection
    those: Selection
    measure: Names
    direction: Direction
    margin: float = 2.0  # points
    beyond: Comparand | None = None
    published: Citation | None = None

    @property
    def is_cost(self) -> bool:
        return bool(set(self.measure) & set(COSTS))

    @property
    def region(self) -> tuple[float, float]:
        """(low, high) of the differences that it allows: shares, or for costs logarithms of ratios."""
        margin = self.margin / POINTS
        ends = {"greater": (0.0, math.inf), "less": (-math.inf, 0.0), "equal": (-margin, margin)}
        return (ends | {"not greater": (-math.inf, margin), "not less": (-margin, math.inf)})[self.direction]

    def comparands(self) -> list[tuple[float, Comparand]]:
        """The differences that are added (1) and taken off (-1)."""
        own = Comparand(self.these, self.those, self.measure)
        if not (b := self.beyond):
            return [(1.0, own)]
        return [(1.0, own), (-1.0, Comparand(b.these or own.these, b.those or own.those, b.measure or own.measure))]


@dataclass(frozen=True)
class Claim:
    """A published sentence with its hypotheses, or the reason why it has none."""

    claim: str
    tests: tuple[Hypothesis, ...] = ()
    untested: str = ""


@dataclass(frozen=True)
class RecipeSelection:
    """The recipes of a table that a selection matches, and the published row that stands for them."""

    these: Selection
    published: Citation | None = None


@dataclass(frozen=True)
class RecipeTableLayout:
    name: str
    title: str
    rows: tuple[RecipeSelection, ...]
    rewards: bool = False  # with the reward model's own accuracy and best of n


@dataclass(frozen=True)
class ClaimsFile:
    """A whole file; `published` names the study whose tables are cited."""

    summary: str
    published: str = ""
    claims: tuple[Claim, ...] = ()
    tables: tuple[RecipeTableLayout, ...] = ()

    def hypotheses(self) -> list[Hypothesis]:
        return [hypothesis for claim in self.claims for hypothesis in claim.tests]

    def figure(self, citation: Citation | None, measure: Sequence[str] = ()) -> CitedFigure | None:
        """The published figure, with the lowest certainty among the figures that it is made of."""
        if citation is None:
            return None
        if not citation.table:
            return CitedFigure(citation.figure, citation.certainty or "low", citation.note)
        columns = [citation.column] if citation.column else list(measure)
        figures = {
            sign: [published.find_figure(self.published, citation.table, row, c) for row in rows for c in columns]
            for sign, names in ((1.0, citation.row), (-1.0, citation.minus))
            if (rows := self.published_rows(citation.table, names))
        }
        every = [f for part in figures.values() for f in part]
        lowest = max((CERTAINTIES.index(f.certainty) for f in every), default=0)
        value = None
        if all(f.value is not None for f in every):
            value = sum(sign * (f.value or 0.0) / len(part) for sign, part in figures.items() for f in part)
        return CitedFigure(value, citation.certainty or CERTAINTIES[lowest], citation.note)

    def published_rows(self, table: str, names: Sequence[str]) -> list[str]:
        """Rows by name; a group's name stands for its rows."""
        layout = published.load_study(self.published).table(table).layout
        rows = [row for name in names for row in layout.groups.get(name, (name,))]
        for row in rows:
            if row not in layout.rows:
                raise unknown_name(f"row or group in {table}", row, [*layout.rows, *layout.groups])
        return rows


def find(name: str | Path) -> Path:
    """A file by its path, or one that comes with the program by its name."""
    return find_yaml(str(name), "file of claims", FOLDER, lambda path: "claims" in path.stem)


def read(path: Path) -> ClaimsFile:
    """The claims in a file, checked as far as that goes without a study."""
    try:
        claims_file = config.build_config(ClaimsFile, config.load_yaml(path))
        for claim in claims_file.claims:
            if bool(claim.tests) == bool(claim.untested):
                raise SkilldeltaError(f"{claim.claim!r} needs tests, or says under `untested` why it has none.")
        names = [hypothesis.name for hypothesis in claims_file.hypotheses()]
        if repeated_names := [name for name in names if names.count(name) > 1]:
            raise SkilldeltaError(f"two tests are named {repeated_names[0]!r}.")
        for hypothesis in claims_file.hypotheses():
            check(hypothesis, claims_file)
        for row in (row for table in claims_file.tables for row in table.rows):
            if row.published:
                claims_file.published_rows(row.published.table, row.published.row)
    except SkilldeltaError as error:
        raise SkilldeltaError(f"{path} holds no claims: {error}") from error
    return claims_file


def check(hypothesis: Hypothesis, claims_file: ClaimsFile) -> None:
    """Its published figure exists, no measure is mixed with one of another kind, and costs have no margin."""
    if hypothesis.direction in NEED_MARGIN and hypothesis.is_cost:
        raise SkilldeltaError(f"{hypothesis.name}: a cost has no margin in points; it is greater or less.")
    for measure in (comparand.measure for _, comparand in hypothesis.comparands()):
        if not measure or (len(measure) > 1 and set(measure) & set(MEASURES)):
            raise SkilldeltaError(f"{hypothesis.name}: a measure is {', '.join(MEASURES)}, or one or several skills or tasks.")
    if (citation := hypothesis.published) and citation.table and citation.figure is not None:
        raise SkilldeltaError(f"{hypothesis.name}: a published figure is cited from a table or given, not both.")
    claims_file.figure(hypothesis.published, hypothesis.measure)
