"""The claims of a published study as a forest: intervals, regions, published figures (PNG and SVG)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.studies.claims import verdicts
from harness.studies.claims.findings import Finding, Measured
from harness.studies.claims.report import Report
from harness.studies.claims.verdicts import Verdict
from reports import drawing
from reports.drawing import INK, LINE, PAPER, SOFT, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS: dict[Verdict, tuple[str, str]] = {
    "supported": ("#0072b2", "o"), "contradicted": ("#d55e00", "X"), "not decided": (SOFT, "o"),
}  # fmt: skip
LEGEND = "● supported   ✕ contradicted   ○ not decided   ◇ published, of other models   shaded: where the hypothesis has it"
REACH = 1.15  # of the widest estimate or published figure: intervals may run out of the panel


def render_study(found: Report, folder: Path) -> list[Path]:
    """Writes claims.png and claims.svg; nothing where no hypothesis in points was tested."""
    shown = [f for f in found.findings.all() if f.measured and f.measured.unit == "points"]
    if not shown:
        return []
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 1.1 + 0.27 * len(shown)), layout="constrained", facecolor=PAPER)
    axis = figure.subplots()
    reach = REACH * max(max(map(abs, marks(f))) for f in shown)
    axis.set_xlim(-reach, reach)
    for place, f in enumerate(shown):
        draw(axis, -place, f, reach)
    drawing.bare(axis)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_yticks([-i for i in range(len(shown))], [plain(f.test.name) for f in shown], fontsize=8)
    axis.set_ylim(-len(shown) + 0.4, 0.6)
    axis.set_xlabel(f"points, these minus those, with 95 % intervals over items and runs\n{LEGEND}", fontsize=8, color=SOFT)
    return drawing.save(figure, folder, "claims")


def marks(f: Finding) -> list[float]:
    """The places that must be seen: the estimate, and the published figure where it is not far off."""
    m = measured(f)
    known = f.published.value if f.published else None
    return [m.estimate, *([] if known is None else [known]), f.test.margin]


def measured(f: Finding) -> Measured:
    assert f.measured is not None
    return f.measured


def draw(axis: Axes, height: float, f: Finding, reach: float) -> None:
    m = measured(f)
    colour, marker = LOOKS[f.verdict]
    low, high = (min(max(end, -reach), reach) for end in verdicts.region(f.test.direction, f.test.margin))
    axis.fill_betweenx([height - 0.42, height + 0.42], low, high, color=LINE, linewidth=0, zorder=0.5)
    axis.plot([m.low, m.high], [height, height], color=colour, linewidth=1.8, solid_capstyle="butt", zorder=2)
    hollow = PAPER if f.verdict == "not decided" else colour
    axis.plot([m.estimate], [height], marker, color=colour, markerfacecolor=hollow, markersize=5.5, zorder=3)
    if f.published and f.published.value is not None:
        axis.plot([f.published.value], [height], "D", color=INK, markerfacecolor="none", markersize=5, zorder=4)
