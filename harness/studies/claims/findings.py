"""From a study's folder and a file of claims to findings: each hypothesis tested, all of them one family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.statistics import multiple_testing, power, training_variance
from harness.statistics.estimate import Floats
from harness.statistics.training_variance import Between, Recipe
from harness.statistics.variance_shrinkage import Prior
from harness.studies.claims import claims_file, contrast, measures, verdicts
from harness.studies.claims.claims_file import COSTS, Known, Sheet, Test
from harness.studies.claims.contrast import Coefficients, Column, NotRun
from harness.studies.claims.grid import Entry
from harness.studies.claims.measures import Book
from harness.studies.claims.verdicts import Tested, Verdict

Unit = Literal["points", "times"]
Family = Literal["holm", "bh", "none"]
LEVEL = 0.95
POINTS = 100
FAMILIES = {
    "holm": "Holm over the {n} tests: a wrong verdict anywhere among them has a probability of 5 % at most",
    "bh": "Benjamini-Hochberg over the {n} tests: of the verdicts given, 5 % are wrong at most, on average",
    "none": "no correction for the {n} tests",
}


@dataclass(frozen=True)
class Measured:
    """What was found of a hypothesis.  In points of 0..100, or for costs how many times as much."""

    unit: Unit
    estimate: float
    low: float
    high: float
    p: float
    p_adjusted: float
    detectable: float  # the smallest difference from the region's end that would have been found 4 times in 5
    pairs: int  # of recipes, over the labels that both sides share
    runs: int
    from_runs: float  # share of the variance that only more runs would shrink
    single: tuple[str, ...] = ()  # recipes of a single run


@dataclass(frozen=True)
class Finding:
    """A hypothesis with its verdict at this scale."""

    claim: str
    test: Test
    verdict: Verdict
    published: Known | None
    measured: Measured | None = None
    reason: str = ""  # why it was not run


@dataclass(frozen=True)
class Whole:
    """A claim with the verdicts on its hypotheses."""

    claim: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    reason: str = ""  # why there is no test


@dataclass(frozen=True)
class Findings:
    """All claims of a file, on one study."""

    study: str
    summary: str
    family: str
    claims: tuple[Whole, ...]

    def all(self) -> list[Finding]:
        return [f for c in self.claims for f in c.findings]

    def single(self) -> list[str]:
        """The recipes that have one run, and no seed to tell by."""
        return list(dict.fromkeys(name for f in self.all() if f.measured for name in f.measured.single))


def judge_all(book: Book, found: Sheet, family: Family = "holm") -> Findings:
    """Every claim of a file, on the study that the book is of."""
    open_tests = {t.name: attempt(book, t) for t in found.tests()}
    done = {name: one for name, one in open_tests.items() if not isinstance(one, str)}
    adjusted = dict(zip(done, adjust([one.tested.p for one in done.values()], family), strict=True))
    wholes = []
    for claim in found.claims:
        parts = tuple(finding(claim.claim, t, open_tests[t.name], adjusted.get(t.name, 1.0), found) for t in claim.tests)
        verdict = verdicts.all_of([p.verdict for p in parts]) if parts else "not run"
        wholes.append(Whole(claim.claim, verdict, parts, claim.untested))
    return Findings(book.grid.file.name, found.summary, FAMILIES[family].format(n=len(done)), tuple(wholes))


@dataclass(frozen=True)
class Open:
    """A hypothesis with its difference, before the others of its family are known."""

    found: Between
    tested: Tested
    pairs: int
    runs: int


def attempt(book: Book, test: Test) -> Open | str:
    """The difference that a hypothesis is about; in words why there is none."""
    try:
        return opened(book, test)
    except NotRun as missing:
        return str(missing)


def opened(book: Book, test: Test) -> Open:
    parts = contrast.of(book.grid, test)
    sides = [(sign, book.columns(measure), one.coefficients) for sign, measure, one in parts]
    columns = contrast.weights(sides)
    found = together(book, columns)
    alone = all(c[0] in COSTS for c in columns)
    bounds = verdicts.region(test.direction, 0.0 if alone else test.margin / POINTS)
    entries = {e for into in columns.values() for e in into}
    known = found.error > 0 or found.freedom > 0
    tested = verdicts.test(found, bounds) if known else Tested(1.0, 1.0)
    return Open(found, tested, len(parts[0][2].contexts), len(entries))


def together(book: Book, columns: dict[Column, Coefficients]) -> Between:
    """The sum of all columns over all runs, with what its items and its runs make it vary by."""
    entries = list(dict.fromkeys(e for into in columns.values() for e in into))
    laid = {c: dict(zip(into, book.values(c, list(into)), strict=True)) for c, into in columns.items()}
    parts = []
    for group in contrast.groups(entries):
        given = len(group) == 1 and all(e.given for e in group[0])
        tasks = tuple(np.stack([share(members, into, laid[c]) for members in group]) for c, into in columns.items())
        scaled = tuple(len(group) * t for t in tasks)
        parts.append(Recipe(contrast.named(group[0]), scaled, given, common(book, group, columns)))
    more = sum(measures.sampling(c, into) for c, into in columns.items())
    return training_variance.widened(training_variance.together(parts, np.ones(len(columns)), LEVEL), more, LEVEL)


def common(book: Book, group: Sequence[Sequence[Entry]], columns: dict[Column, Coefficients]) -> Prior | None:
    """What the other recipes of the method tell of how runs of this one vary; None for runs that are bound together."""
    if len(group) < 2 or any(len(members) > 1 for members in group):
        return None
    entry = group[0][0]
    return book.prior(entry, {c: len(group) * into[entry] for c, into in columns.items() if entry in into})


def share(members: Sequence[Entry], into: Coefficients, laid: dict[Entry, Floats]) -> Floats:
    """What some runs contribute to a column: an item each."""
    mine = [into[e] * laid[e] for e in members if e in into]
    return np.sum(mine, axis=0) if mine else np.zeros_like(next(iter(laid.values())))


def adjust(p: Sequence[float], family: Family) -> list[float]:
    """p-values within their family."""
    values = np.array(p)
    if not len(values) or family == "none":
        return list(p)
    found = multiple_testing.holm(values) if family == "holm" else multiple_testing.benjamini_hochberg(values)
    return [float(v) for v in found]


def finding(claim: str, test: Test, one: Open | str, adjusted: float, found: Sheet) -> Finding:
    figure = claims_file.figure(found, test.published, test.measure)
    if isinstance(one, str):
        return Finding(claim, test, "not run", figure, reason=f"not in this study: {one}")
    verdict = verdicts.verdict(one.tested, adjusted, 1 - LEVEL)
    return Finding(claim, test, verdict, figure, measured(one, adjusted, set(test.measure) & set(COSTS) != set()))


def measured(one: Open, adjusted: float, cost: bool) -> Measured:
    """In the units that people read."""
    found = one.found
    scale = math.exp if cost else times_100
    total = found.from_items + found.from_runs
    return Measured(
        unit="times" if cost else "points",
        estimate=scale(found.delta),
        low=scale(found.interval.low),
        high=scale(found.interval.high),
        p=one.tested.p,
        p_adjusted=adjusted,
        detectable=scale(power.detectable_from(found.error, found.freedom) if found.error else 0.0),
        pairs=one.pairs,
        runs=one.runs,
        from_runs=found.from_runs / total if total else 0.0,
        single=found.single,
    )


def times_100(value: float) -> float:
    return POINTS * value


def flat(found: Findings) -> list[dict[str, Any]]:
    """A row for each hypothesis: what claims.csv holds."""
    rows = []
    for f in found.all():
        m, known = f.measured, f.published
        rows.append(
            {
                "claim": f.claim, "test": f.test.name, "hypothesis": f.test.says, "verdict": f.verdict,
                "unit": m.unit if m else None, "estimate": m.estimate if m else None, "low": m.low if m else None,
                "high": m.high if m else None, "p": m.p if m else None, "p_adjusted": m.p_adjusted if m else None,
                "detectable": m.detectable if m else None, "pairs": m.pairs if m else None, "runs": m.runs if m else None,
                "published": known.value if known else None, "certainty": known.certainty if known else None,
                "reason": f.reason,
            }
        )  # fmt: skip
    return rows
