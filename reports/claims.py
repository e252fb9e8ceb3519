"""The claims of a published study on one's own: verdicts and tables of recipes (claims.md, .json, .csv)."""

from __future__ import annotations

import csv
from pathlib import Path

from harness.store import write_json
from harness.studies.claims import findings, report
from harness.studies.claims.findings import Measured, Whole
from harness.studies.claims.report import MARKS, Report
from harness.studies.claims.tables import Cell, Line, Table
from reports.table import escape
from reports.text_tables import number, span

HEAD = ("", "these − those", "p adj.", "detectable", "pairs / runs", "published", "verdict")
SAID = {
    "contradicted": "Contradicted at this scale",
    "not decided": "Not decided by this study",
    "not run": "Not in this study",
}


def render_study(found: Report, folder: Path) -> list[Path]:
    """Writes the three files; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, whole, flat = (folder / f"claims.{kind}" for kind in ("md", "json", "csv"))
    markdown.write_text(as_markdown(found), encoding="utf-8")
    write_json(whole, report.json(found))
    write_csv(found, flat)
    return [markdown, whole, flat]


def as_markdown(found: Report) -> str:
    one = found.findings
    parts = [f"# {escape(one.summary)}", escape(report.summary(one)), verdicts(one.claims)]
    if any(f.measured and f.measured.unit == "points" for f in one.all()):
        parts.append("![Differences with their intervals, and the published figures](claims.png)")
    parts.append("## What did not come out as published")
    for verdict, lines in report.otherwise(one).items():
        if lines:
            parts.append(f"**{SAID[verdict]}**\n\n" + "\n".join(f"- {escape(line)}" for line in lines))
    parts += [f"## {escape(t.title)}\n\n{table(t)}" for t in found.tables]
    if found.tables:
        parts.append(
            "Points of 0 to 100, the mean over the runs (seeds) of a recipe, with the 95 % interval over items and runs; "
            "with one run, over items alone.  In italics: what was published, of other models and other tasks."
        )
    parts.append("## How to read it\n\n" + "\n".join(f"- {escape(line)}" for line in report.foot(one)))
    return "\n\n".join(parts) + "\n"


def rows(lines: list[tuple[str, ...]]) -> str:
    """GitHub's Markdown of a table whose first line is the head."""
    head, *body = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, tuple("---" for _ in head), *body))


def verdicts(claims: tuple[Whole, ...]) -> str:
    """A bold line a claim, beneath it its hypotheses."""
    lines: list[tuple[str, ...]] = [HEAD]
    for claim in claims:
        verdict = f"{MARKS[claim.verdict]} {claim.verdict}" if len(claim.findings) != 1 else ""
        lines.append((f"**{escape(claim.claim)}**", *[""] * 5, f"**{verdict}**" if verdict else ""))
        for f in claim.findings:
            verdict = f"{MARKS[f.verdict]} {f.verdict}"
            lines.append((f"&nbsp;&nbsp;{escape(f.test.says)}", *numbers(f.measured), report.published(f), verdict))
    return rows(lines)


def numbers(m: Measured | None) -> tuple[str, ...]:
    if m is None:
        return ("",) * 4
    return (report.span(m), report.probability(m.p_adjusted), report.detectable(m), f"{m.pairs} / {m.runs}")


def table(found: Table) -> str:
    """A recipe a line, what was published of its like beneath the numbers."""
    lines: list[tuple[str, ...]] = [("recipe", "runs", *found.columns)]
    lines += [(label(line), str(line.runs), *(cell(c) for c in line.cells)) for line in found.lines]
    return rows(lines)


def label(line: Line) -> str:
    return escape(line.recipe) + (f"<br>*{escape(line.published)}*" if line.published else "")


def cell(found: Cell) -> str:
    own = f"{number(found.score)} {span(found.low, found.high)}" if found.score is not None else "—"
    return own + (f"<br>*{number(found.published)}*" if found.published is not None else "")


def write_csv(found: Report, path: Path) -> None:
    """A row for each hypothesis."""
    flat = findings.flat(found.findings)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(flat[0]) if flat else ["claim"])
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in flat)
