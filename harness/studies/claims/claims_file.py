"""A file of claims: each with hypotheses over the labels of a grid, and the figure that was published.

claims:
  - claim: what was said
    tests:
      - name: ppo-over-dpo
        these: {method: ppo, reward: medium}   # a selection by labels; several values: [a, b]
        those: {method: dpo}                   # paired by every label that both have and that is not held apart here
        measure: average                       # a skill, a task, several of them, or one of MEASURES
        direction: greater                     # or less, equal, not greater, not less (the last three within the margin)
        published: {table: table2-differences, row: mean of the five, column: average}
    untested: why, where there is no test
tables:                                        # of recipes, beside published rows
  - {title: ..., rows: [{these: {...}, published: {table: table1, row: ...}}]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness import config, published, registry
from harness.published import Certainty
from harness.types import SkilldeltaError

FOLDER = registry.ROOT / "harness" / "studies"
Direction = Literal["greater", "less", "equal", "not greater", "not less"]
WITHIN = ("equal", "not greater", "not less")  # directions that need a margin
CERTAINTIES: tuple[Certainty, ...] = ("high", "medium-high", "medium", "low")
COSTS = ("flops", "seconds")
ACCURACY, BEST_OF_N, STEPS, AVERAGE = "reward accuracy", "best of n", "worked steps", "average"
OF_REWARDS = (ACCURACY, BEST_OF_N)  # what is measured of reward models, not of policies
MEASURES = (AVERAGE, *COSTS, *OF_REWARDS, STEPS)

Labels = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Cited:
    """A published figure: of one row of a table, or the mean of several, minus another's; or a figure as the source has it."""

    table: str = ""
    row: tuple[str, ...] = ()  # rows, or groups of rows
    minus: tuple[str, ...] = ()
    column: str = ""
    figure: float | None = None
    certainty: Certainty | None = None
    note: str = ""


@dataclass(frozen=True)
class Side:
    """Two selections and a measure; what is empty is that of the test itself."""

    these: Labels = field(default_factory=dict)
    those: Labels = field(default_factory=dict)
    measure: tuple[str, ...] = ()


@dataclass(frozen=True)
class Test:
    """One hypothesis: `these` minus `those`, and with `beyond` the same of another pair or measure taken off."""

    __test__ = False  # no test of pytest's

    name: str
    says: str
    these: Labels
    those: Labels
    measure: tuple[str, ...]
    direction: Direction
    margin: float = 2.0  # points
    beyond: Side | None = None
    published: Cited | None = None

    def sides(self) -> list[tuple[float, Side]]:
        """What is added and what is taken off."""
        found = [(1.0, Side(self.these, self.those, self.measure))]
        if b := self.beyond:
            found.append((-1.0, Side(b.these or self.these, b.those or self.those, b.measure or self.measure)))
        return found


@dataclass(frozen=True)
class Claim:
    claim: str
    tests: tuple[Test, ...] = ()
    untested: str = ""


@dataclass(frozen=True)
class Row:
    """The recipes of a table that a selection finds, each with the published row that it stands for."""

    these: Labels
    published: Cited | None = None


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    rows: tuple[Row, ...]
    rewards: bool = False  # with the reward model's own accuracy and best of n


@dataclass(frozen=True)
class Sheet:
    """A whole file."""

    summary: str
    published: str = ""  # the study whose tables are cited
    claims: tuple[Claim, ...] = ()
    tables: tuple[Table, ...] = ()

    def tests(self) -> list[Test]:
        return [test for claim in self.claims for test in claim.tests]

    def labels(self) -> dict[str, set[str]]:
        """Every label that is spoken of, with its values."""
        found: dict[str, set[str]] = {}
        sides = [s for t in self.tests() for _, side in t.sides() for s in (side.these, side.those)]
        for chosen in [*sides, *(row.these for table in self.tables for row in table.rows)]:
            for label, values in chosen.items():
                found.setdefault(label, set()).update(values)
        return found


def find(name: str | Path) -> Path:
    """A file by its path, or one that comes with the program by its name."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    there = sorted(p.stem for p in FOLDER.glob("*.yaml") if "claims" in p.stem)
    if str(name) not in there:
        raise registry.unknown("file of claims", str(name), there)
    return FOLDER / f"{name}.yaml"


def read(path: Path) -> Sheet:
    """The claims in a file, checked as far as that goes without a study."""
    told = config.load_yaml(path)
    try:
        claims = tuple(claim(c) for c in told.pop("claims", None) or [])
        tables = tuple(table(t) for t in told.pop("tables", None) or [])
        found = config.build(Sheet, told)
        sheet = Sheet(found.summary, found.published, claims, tables)
        check(sheet)
    except (SkilldeltaError, TypeError) as error:
        raise SkilldeltaError(f"{path} holds no claims: {error}") from error
    return sheet


def claim(told: Mapping[str, Any]) -> Claim:
    tests = tuple(test(t) for t in told.get("tests") or [])
    found = config.build(Claim, {k: v for k, v in told.items() if k != "tests"})
    if bool(tests) == bool(found.untested):
        raise SkilldeltaError(f"{found.claim!r} needs tests, or says under `untested` why it has none.")
    return Claim(found.claim, tests, found.untested)


def test(told: Mapping[str, Any]) -> Test:
    ready = {**told, **selections(told)}
    if told.get("beyond"):
        ready["beyond"] = config.build(Side, {**told["beyond"], **selections(told["beyond"])})
    ready["published"] = cited(told.get("published"))
    found = config.build(Test, ready)
    if found.direction in WITHIN and set(found.measure) & set(COSTS):
        raise SkilldeltaError(f"{found.name}: a cost has no margin in points; it is greater or less.")
    return found


def table(told: Mapping[str, Any]) -> Table:
    rows = tuple(Row(selections(r)["these"], cited(r.get("published"))) for r in told.get("rows") or [])
    return config.build(Table, {**told, "rows": rows})


def cited(told: Mapping[str, Any] | None) -> Cited | None:
    if not told:
        return None
    # Names of rows may hold commas: they are lists before `config.build` would split them.
    found = config.build(Cited, {k: [v] if k in ("row", "minus") and isinstance(v, str) else v for k, v in told.items()})
    if found.table and found.figure is not None:
        raise SkilldeltaError(f"a published figure is cited from a table or given, not both: {dict(told)}.")
    return found


def selections(told: Mapping[str, Any]) -> dict[str, Any]:
    """these, those and measure with single values as lists of one."""
    found: dict[str, Any] = {}
    for key in ("these", "those"):
        if key in told:
            found[key] = {str(k): tuple(map(str, v if isinstance(v, list) else [v])) for k, v in told[key].items()}
    if "measure" in told:
        found["measure"] = told["measure"] if isinstance(told["measure"], list) else [told["measure"]]
    return found


def check(sheet: Sheet) -> None:
    """Every published figure exists, no test is there twice, and no measure is mixed with one of another kind."""
    names = [t.name for t in sheet.tests()]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise SkilldeltaError(f"two tests are named {twice[0]!r}.")
    for one in sheet.tests():
        for _, side in one.sides():
            if not side.measure or (len(side.measure) > 1 and set(side.measure) & set(MEASURES)):
                raise SkilldeltaError(f"{one.name}: a measure is {', '.join(MEASURES)}, or one or several skills or tasks.")
        figure(sheet, one.published, one.measure)
    for row in (row for table in sheet.tables for row in table.rows):
        if row.published:
            rows_of(sheet, row.published.table, row.published.row)


@dataclass(frozen=True)
class Known:
    """A published figure as it is shown."""

    value: float | None
    certainty: str
    note: str = ""


def figure(sheet: Sheet, cite: Cited | None, measure: Sequence[str] = ()) -> Known | None:
    """The published figure, with the lowest certainty of the figures that it is made of."""
    if cite is None:
        return None
    if not cite.table:
        return Known(cite.figure, cite.certainty or "low", cite.note)
    columns = [cite.column] if cite.column else list(measure)
    parts = [
        (sign, published.figure(sheet.published, cite.table, row, column))
        for sign, names in ((1.0, cite.row), (-1.0, cite.minus))
        for row in rows_of(sheet, cite.table, names)
        for column in columns
    ]
    counts = {sign: sum(s == sign for s, _ in parts) for sign, _ in parts}
    values = [f.value for _, f in parts]
    value = None if None in values else sum(s * (f.value or 0.0) / counts[s] for s, f in parts)
    lowest = max((CERTAINTIES.index(f.certainty) for _, f in parts), default=0)
    return Known(value, cite.certainty or CERTAINTIES[lowest], cite.note)


def rows_of(sheet: Sheet, table: str, names: Sequence[str]) -> list[str]:
    """Rows by name; a group's name stands for its rows."""
    written = published.load(sheet.published).table(table).written
    found = [row for name in names for row in written.groups.get(name, (name,))]
    for row in found:
        if row not in written.rows:
            raise registry.unknown(f"row or group in {table}", row, [*written.rows, *written.groups])
    return found
