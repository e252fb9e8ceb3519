"""What is said of a study's claims: counts, lines, and what did not come out as published, in words."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast, get_args

from harness import registry
from harness.statistics.training_variance import ONE_SEED
from harness.studies.claims import claims_file, findings, grid, tables
from harness.studies.claims.findings import Family, Finding, Findings, Measured
from harness.studies.claims.measures import Book
from harness.studies.claims.tables import Table
from harness.studies.claims.verdicts import Verdict

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
MARKS: dict[Verdict, str] = {"supported": "✓", "contradicted": "✗", "not decided": "·", "not run": "–"}
MANY = 4  # names of recipes that are listed
READING = (
    "Each hypothesis is the mean over these runs minus the mean over those, paired by the labels that both share.  "
    "Brackets: 95 % intervals that know that items and training runs vary (crossed; Satterthwaite's degrees of freedom); the "
    "variance of a recipe's few runs is weighed with that of the method's other recipes (Smyth 2004), and policies that one "
    "reward model tuned are taken together.  The SFT models are given: intervals are about runs that begin from these.  "
    "Supported: the interval lies where the hypothesis has it; contradicted: it lies outside; both after correction. "
    "Detectable: the smallest difference that such data would have shown 4 times in 5."
)


@dataclass(frozen=True)
class Report:
    findings: Findings
    tables: list[Table]


def of(study: Path, file: str | Path, family: Family = "holm") -> Report:
    """The claims in a file, and its tables, on a study's folder."""
    book = Book(grid.read(study))
    found = claims_file.read(claims_file.find(file))
    return Report(findings.judge_all(book, found, family), tables.made(book, found))


def family(name: str) -> Family:
    """A correction by its name."""
    if name not in findings.FAMILIES:
        raise registry.unknown("correction for many tests", name, findings.FAMILIES)
    return cast(Family, name)


def signed(value: float) -> str:
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def figure(value: float, unit: str) -> str:
    """A difference in points, or how many times as much."""
    return signed(value) if unit == "points" else f"× {value:.3g}"


def span(m: Measured) -> str:
    return f"{figure(m.estimate, m.unit)} [{figure(m.low, m.unit)}, {figure(m.high, m.unit)}]"


def detectable(m: Measured) -> str:
    return figure(m.detectable, m.unit).removeprefix("+")


def published(f: Finding) -> str:
    """The published figure with how certain it is; what is known only in words as such."""
    if f.published is None:
        return ""
    if f.published.value is None:
        return "no figure found"
    unit = f.measured.unit if f.measured else ("times" if set(f.test.measure) & set(claims_file.COSTS) else "points")
    return f"{figure(f.published.value, unit)} ({f.published.certainty})"


def probability(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def summary(found: Findings) -> str:
    """How many hypotheses came out how."""
    counts = Counter(f.verdict for f in found.all())
    said = ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v])
    return f"Of {len(found.all())} hypotheses on the study {found.study}, at this scale: {said}."


def otherwise(found: Findings) -> dict[Verdict, list[str]]:
    """What did not come out as published, a line for each hypothesis."""
    lines: dict[Verdict, list[str]] = {"contradicted": [], "not decided": [], "not run": []}
    for f in found.all():
        if f.verdict in lines:
            lines[f.verdict].append(f"{f.test.says}: {why(f)}")
    lines["not run"] += [f"{c.claim}: {c.reason}" for c in found.claims if c.reason]
    return lines


def why(f: Finding) -> str:
    """A verdict's reason, with the published figure."""
    m, known = f.measured, published(f)
    if m is None:
        return f.reason
    beside = f"; published {known}" if known and known != "no figure found" else ""
    if f.verdict == "not decided":
        alone = f" ({probability(m.p)} on its own)" if m.p <= 1 - findings.LEVEL else ""
        found = f"; detectable {detectable(m)}" if m.detectable else ""
        return f"{span(m)}, p {probability(m.p_adjusted)} in its family{alone}{found}{beside}"
    return f"{span(m)}{beside}"


def foot(found: Findings) -> list[str]:
    """What must be known to believe the verdicts."""
    lines = [READING, f"{found.family}."] if any(f.measured for f in found.all()) else []
    if alone := found.single():
        names = ", ".join(alone[:MANY]) + (f" and {len(alone) - MANY} more" if len(alone) > MANY else "")
        lines.append(ONE_SEED.format(names=names))
    lines.append("Published figures are of other, far larger models: they stand beside, and nothing is tested against them.")
    return lines


def text(found: Findings) -> str:
    """The verdicts as a compact table for a terminal."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    shown = Grid(title=f"Claims: {found.summary}", title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in ("", "hypothesis", "here", "published", "verdict at this scale"):
        shown.add_column(name, overflow="fold")
    tested = [f for f in found.all() if f.verdict != "not run"]
    if not tested:
        return f"No claim of {found.summary} is about runs of the study {found.study}."
    for f in tested:
        here = span(f.measured) if f.measured else ""
        shown.add_row(*map(Text, (MARKS[f.verdict], f.test.says, here, published(f), f.verdict)))
    target = io.StringIO()
    Console(file=target, width=140, highlight=False).print(shown)
    absent = sum(f.verdict == "not run" for f in found.all())
    more = f"  {absent} hypotheses are about runs that this study has not." if absent else ""
    lines = [line.rstrip() for line in target.getvalue().splitlines()]
    return "\n".join([*lines, summary(found) + more, *foot(found)[1:-1]])


def json(report: Report) -> dict[str, Any]:
    """claims.json."""
    found = report.findings
    return {
        "study": found.study,
        "summary": found.summary,
        "family": found.family,
        "counts": dict(Counter(f.verdict for f in found.all())),
        "claims": [
            {"claim": c.claim, "verdict": c.verdict, "reason": c.reason, "hypotheses": [one(f) for f in c.findings]}
            for c in found.claims
        ],
        "tables": [row for table in report.tables for row in table.json()],
        "foot": foot(found),
    }


def one(f: Finding) -> dict[str, Any]:
    """A hypothesis, with its definition and what was found."""
    side = {k: v for k, v in asdict(f.test).items() if k not in ("published", "name", "says")}
    return {
        "name": f.test.name,
        "says": f.test.says,
        "verdict": f.verdict,
        "reason": f.reason,
        "test": side,
        "found": asdict(f.measured) if f.measured else None,
        "published": asdict(f.published) if f.published else None,
    }
