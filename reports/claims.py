"""Published claims on a study of one's own: verdicts, tables of recipes, a forest plot (claims.md, .json, .csv, .png, .svg)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from harness.atomic_files import write_json
from harness.comparison.number_format import ABSENT, format_interval, format_number, format_p_value
from harness.comparison.result import without_nan
from harness.csv_files import write_csv
from harness.statistics.training_variance import ONE_SEED
from harness.studies.claims_file import LEVEL, HypothesisVerdict
from harness.visible_text import escape_markdown
from reports.layout import drawing
from reports.layout.drawing import GREY, INK, PALE_GREY, PAPER
from reports.layout.labels import fit_label
from reports.layout.markdown import markdown_list

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.studies.claims import ClaimResult, ClaimsReport, HypothesisResult, MeasuredDifference, RecipeTable

VERDICTS: tuple[HypothesisVerdict, ...] = get_args(HypothesisVerdict)
MARKS: dict[HypothesisVerdict, str] = {"supported": "✓", "contradicted": "✗", "inconclusive": "·", "not run": "–"}
HEADINGS: dict[HypothesisVerdict, str] = {
    "contradicted": "Contradicted at this scale", "inconclusive": "Inconclusive in this study", "not run": "Not in this study",
}  # fmt: skip
COLUMNS = ("", "these − those", "p adj.", "detectable", "pairs / runs", "published", "verdict")
NUMBERS = ("unit", "estimate", "low", "high", "p", "p_adjusted", "detectable", "pairs", "runs")
CSV_COLUMNS = ("claim", "test", "hypothesis", "verdict", *NUMBERS, "published", "certainty", "reason")
MOST_NAMES = 4  # of recipes of a single run
NO_FIGURE = "no figure found"
READING = (
    "Each hypothesis is the mean over these runs minus the mean over those, paired by the labels that both sides have. "
    "Brackets: 95 % intervals over items and training runs (crossed; Satterthwaite's degrees of freedom). "
    "The variance of a recipe's few runs is weighted with that of the method's other recipes (Smyth 2004). "
    "Policies that one reward model tuned are taken together. The SFT models are fixed: intervals are about runs that begin "
    "from them. Supported: the interval lies within the region of the hypothesis; contradicted: it lies outside; both after "
    "correction. Detectable: the smallest difference that such data would have shown 4 times in 5."
)
PUBLISHED = "Published figures come from other, far larger models: they are shown, and nothing is tested against them."
TABLE_NOTE = (
    "Points of 0 to 100, the mean over the runs (seeds) of a recipe, with the 95 % interval over items and runs; "
    "with one run, over items alone. In italics: the published score, of other models on other tasks."
)
STYLES: dict[HypothesisVerdict, tuple[str, str]] = {
    "supported": ("#0072b2", "o"), "contradicted": ("#d55e00", "X"), "inconclusive": (GREY, "o"),
}  # fmt: skip
LEGEND = "● supported   ✕ contradicted   ○ inconclusive   ◇ published, of other models   shaded: the region of the hypothesis"
REACH = 1.15  # of the widest estimate or published figure: intervals may run out of the panel


def render_study(report: ClaimsReport, folder: Path) -> list[Path]:
    """Writes the files, returns their paths; the plot only where a hypothesis in points was tested."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, content, flat = (folder / f"claims.{kind}" for kind in ("md", "json", "csv"))
    markdown.write_text(as_markdown(report), encoding="utf-8")
    write_json(content, as_json(report))
    write_csv(flat, CSV_COLUMNS, (csv_row(claim, result) for claim in report.claims for result in claim.hypotheses))
    return [markdown, content, flat, *draw(report, folder)]


def as_markdown(report: ClaimsReport) -> str:
    parts = [
        f"# {escape_markdown(report.summary)}",
        escape_markdown(summary(report)),
        markdown_rows([COLUMNS, *verdict_rows(report)]),
    ]
    if in_points(report):
        parts.append("![Differences with their intervals, and the published figures](claims.png)")
    parts.append("## Results unlike the published ones")
    for verdict, heading in HEADINGS.items():
        lines = [f"{h.test.says}: {explain(h)}" for h in report.hypotheses() if h.verdict == verdict]
        lines += [f"{c.claim}: {c.reason}" for c in report.claims if c.reason and verdict == "not run"]
        if lines:
            parts.append(f"**{heading}**\n\n{markdown_list(lines)}")
    parts += [f"## {escape_markdown(table.title)}\n\n{markdown_rows(recipe_rows(table))}" for table in report.tables]
    parts += [TABLE_NOTE] if report.tables else []
    return "\n\n".join([*parts, f"## How to read it\n\n{markdown_list(notes(report))}"]) + "\n"


def markdown_rows(rows: Iterable[Sequence[str]]) -> str:
    """GitHub's Markdown of a table whose first row is the head; the cells are Markdown already."""
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))


def verdict_rows(report: ClaimsReport) -> list[tuple[str, ...]]:
    """A bold row for each claim, under it its hypotheses."""
    rows: list[tuple[str, ...]] = []
    for claim in report.claims:
        verdict = f"**{MARKS[claim.verdict]} {claim.verdict}**" if len(claim.hypotheses) != 1 else ""
        rows.append((f"**{escape_markdown(claim.claim)}**", *[""] * 5, verdict))
        for h in claim.hypotheses:
            m = h.measured
            numbers = (interval(m), format_p_value(m.p_adjusted), detectable(m), f"{m.pairs} / {m.runs}") if m else [""] * 4
            rows.append((f"&nbsp;&nbsp;{escape_markdown(h.test.says)}", *numbers, cite(h), f"{MARKS[h.verdict]} {h.verdict}"))
    return rows


def recipe_rows(table: RecipeTable) -> list[tuple[str, ...]]:
    """A recipe a row; the published scores of similar ones under its own."""
    rows: list[tuple[str, ...]] = [("recipe", "runs", *table.columns)]
    for line in table.lines:
        own = (
            f"{format_number(c.score)} {format_interval(c.low, c.high)}" if c.score is not None else ABSENT for c in line.cells
        )
        others = (f"<br>*{format_number(c.published)}*" if c.published is not None else "" for c in line.cells)
        name = escape_markdown(line.recipe) + (f"<br>*{escape_markdown(line.published)}*" if line.published else "")
        rows.append((name, str(line.runs), *map(str.__add__, own, others)))
    return rows


def figure(value: float, unit: str) -> str:
    """A difference in points, or how many times as much."""
    return format_number(value, signed=True) if unit == "points" or math.isnan(value) else f"× {value:.3g}"


def interval(m: MeasuredDifference) -> str:
    return f"{figure(m.estimate, m.unit)} [{figure(m.low, m.unit)}, {figure(m.high, m.unit)}]"


def detectable(m: MeasuredDifference) -> str:
    return figure(m.detectable, m.unit).removeprefix("+")


def cite(result: HypothesisResult) -> str:
    """The published figure with its certainty."""
    if result.published is None:
        return ""
    if result.published.value is None:
        return NO_FIGURE
    return f"{figure(result.published.value, 'times' if result.test.is_cost else 'points')} ({result.published.certainty})"


def explain(result: HypothesisResult) -> str:
    """The numbers behind a verdict, with the published figure."""
    m = result.measured
    if m is None:
        return result.reason
    parts = [interval(m)]
    if result.verdict == "inconclusive":
        alone = f" ({format_p_value(m.p)} on its own)" if m.p <= 1 - LEVEL else ""
        parts[0] += f", p {format_p_value(m.p_adjusted)} in its family{alone}"
        parts += [f"detectable {detectable(m)}"] if not math.isnan(m.detectable) else []
    if (text := cite(result)) not in ("", NO_FIGURE):
        parts.append(f"published {text}")
    return "; ".join(parts)


def summary(report: ClaimsReport) -> str:
    """How many hypotheses got which verdict."""
    counts = Counter(h.verdict for h in report.hypotheses())
    words = ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v])
    return f"Of {len(report.hypotheses())} hypotheses on the study {report.study}, at this scale: {words}."


def notes(report: ClaimsReport) -> list[str]:
    """What a reader needs in order to believe the verdicts."""
    results = [h.measured for h in report.hypotheses() if h.measured]
    lines = [READING, f"{report.family}."] if results else []
    if names := list(dict.fromkeys(name for m in results for name in m.single)):
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        lines.append(ONE_SEED.format(names=", ".join(names[:MOST_NAMES]) + more))
    return [*lines, PUBLISHED]


def as_json(report: ClaimsReport) -> dict[str, Any]:
    """The content of claims.json."""
    content = asdict(report)
    for hypothesis in (h for claim in content["claims"] for h in claim["hypotheses"]):
        test = hypothesis["test"]
        hypothesis |= {"name": test.pop("name"), "says": test.pop("says"), "found": hypothesis.pop("measured")}
        del test["published"]
    content["tables"] = [
        {"table": table.name, "recipe": line.recipe, "runs": line.runs, "column": column, **asdict(score)}
        for table in report.tables
        for line in table.lines
        for column, score in zip(table.columns, line.cells, strict=True)
    ]
    counts = dict(Counter(h.verdict for h in report.hypotheses()))
    return without_nan(content | {"counts": counts, "foot": notes(report)})


def csv_row(claim: ClaimResult, result: HypothesisResult) -> list[Any]:
    """A hypothesis with its numbers and the published figure, by CSV_COLUMNS."""
    numbers = [getattr(result.measured, name, None) for name in NUMBERS]
    figure = [getattr(result.published, name, None) for name in ("value", "certainty")]
    row = [claim.claim, result.test.name, result.test.says, result.verdict, *numbers, *figure, result.reason]
    return [f"{value:.6g}" if isinstance(value, float) else value for value in row]


def in_points(report: ClaimsReport) -> list[tuple[HypothesisResult, MeasuredDifference]]:
    return [(h, h.measured) for h in report.hypotheses() if h.measured and h.measured.unit == "points"]


def draw(report: ClaimsReport, folder: Path) -> list[Path]:
    """A forest: intervals, the regions of the hypotheses, published figures."""
    if not (pairs := in_points(report)):
        return []
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9.6, 1.1 + 0.27 * len(pairs)), layout="constrained", facecolor=PAPER)
    axis = picture.subplots()
    figures = [h.published.value for h, _ in pairs if h.published and h.published.value is not None]
    marks = [*figures, *(value for h, m in pairs for value in (m.estimate, h.test.margin))]
    reach = REACH * max(map(abs, marks))
    axis.set_xlim(-reach, reach)
    for place, (result, m) in enumerate(pairs):
        draw_result(axis, -place, result, m)
    drawing.style_axis(axis)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_yticks([-i for i in range(len(pairs))], [fit_label(h.test.name, 2.6, 8, lines=2) for h, _ in pairs], fontsize=8)
    axis.set_ylim(-len(pairs) + 0.4, 0.6)
    axis.set_xlabel(f"points, these minus those, with 95 % intervals over items and runs\n{LEGEND}", fontsize=8, color=GREY)
    return drawing.save_figure(picture, folder, "claims")


def draw_result(axis: Axes, height: float, result: HypothesisResult, m: MeasuredDifference) -> None:
    colour, marker = STYLES[result.verdict]
    reach = axis.get_xlim()[1]
    low, high = (min(max(100 * end, -reach), reach) for end in result.test.region)
    axis.fill_betweenx([height - 0.42, height + 0.42], low, high, color=PALE_GREY, linewidth=0, zorder=0.5)
    axis.plot([m.low, m.high], [height, height], color=colour, linewidth=1.8, solid_capstyle="butt", zorder=2)
    face = PAPER if result.verdict == "inconclusive" else colour
    axis.plot([m.estimate], [height], marker, color=colour, markerfacecolor=face, markersize=5.5, zorder=3)
    if result.published and result.published.value is not None:
        axis.plot([result.published.value], [height], "D", color=INK, markerfacecolor="none", markersize=5, zorder=4)
