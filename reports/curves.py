"""Score against training step, with bands: one panel a skill; beneath, what the runs' own trainers logged (PNG and SVG)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparison.result import Comparison, Row
from harness.comparison.training_runs import Run
from harness.training_log import KEYS
from reports import drawing, text_tables
from reports.drawing import INK, MARKERS, PAPER, SOFT, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4  # panels in a row
MOST = 12  # runs in one picture
MARKS = drawing.LEGEND.replace("●", "○")  # hollow: the line beneath stays to be seen
CROWDED = 40  # points of a panel from which on each is small


@dataclass(frozen=True)
class Point:
    """A checkpoint at its step; score and interval as the comparison has them."""

    step: int
    row: Row
    final: bool


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes curves.png and curves.svg; nothing where no run has steps to show."""
    drawn = figure(comparison)
    return drawing.save(drawn, folder, "curves") if drawn else []


def runs(comparison: Comparison) -> list[Run]:
    """The runs that make a curve: several checkpoints; where no run has, those with one checkpoint and a log."""
    several = [r for r in comparison.runs if len(r.steps) > 1]
    return several or [r for r in comparison.runs if r.steps and r.curves]


@drawing.once
def figure(comparison: Comparison) -> Figure | None:
    """The picture; None where there is nothing to show."""
    every = runs(comparison)
    number = drawing.numbers(comparison)
    mine = {number[run.name]: run for run in every[:MOST]}
    columns = text_tables.names(comparison)
    if not mine or not columns:
        return None
    from matplotlib.figure import Figure

    quantities = [q for q in KEYS if any(q in run.curves for run in mine.values())]
    upper, lower = math.ceil((len(columns) + 1) / ACROSS), math.ceil(len(quantities) / ACROSS)
    made = Figure(figsize=(3.1 * ACROSS, 2.35 * upper + 1.9 * lower + 0.5), facecolor=PAPER)
    made.set_layout_engine("constrained", hspace=0.06, wspace=0.05)
    ratios = [2.35] * upper + [1.9] * lower
    axes = list(made.subplots(upper + lower, ACROSS, squeeze=False, gridspec_kw={"height_ratios": ratios}).flat)
    for axis, (level, name) in zip(axes, columns, strict=False):
        skill(axis, [r for r in comparison.rows if (r.level, r.name) == (level, name)], comparison.baseline, mine)
    for axis, quantity in zip(axes[upper * ACROSS :], quantities, strict=False):
        own(axis, quantity, mine)
    frame(axes, upper, mine)
    for axis in [*axes[len(columns) : upper * ACROSS], *axes[upper * ACROSS + len(quantities) :]]:
        axis.set_axis_off()
    key(axes[upper * ACROSS - 1], comparison.baseline, mine)
    told = [*map(plain, notes(comparison, every)), *drawing.accepted(comparison), MARKS]
    made.supxlabel("\n".join(told), fontsize=8.5, color=SOFT)
    return made


def frame(axes: Sequence[Axes], upper: int, mine: Mapping[int, Run]) -> None:
    """The same steps on every panel, and at the left what its rows are measured in."""
    farthest = max(
        [s for r in mine.values() for s in r.steps.values()] + [c.steps[-1] for r in mine.values() for c in r.curves.values()]
    )
    for axis in axes:
        axis.set_xlim(-0.03 * farthest, 1.04 * farthest)
    for row, axis in enumerate(axes[::ACROSS]):
        axis.set_ylabel("points" if row < upper else "as logged", fontsize=8.5, color=SOFT)


def notes(comparison: Comparison, every: Sequence[Run]) -> list[str]:
    """What the picture leaves out, in words."""
    lines = ["training step; bands and bars: 95 % interval of each score; marks: the paired difference from the baseline"]
    alone = [c for c in comparison.checkpoints if c != comparison.baseline and not any(c in r.steps for r in every)]
    if alone:
        some = ", ".join(alone[:4]) + (f" and {len(alone) - 4} more" if len(alone) > 4 else "")
        lines.append(f"Not drawn, since one checkpoint makes no curve: {some}.")
    if len(every) > MOST:
        lines.append(f"The first {MOST} of {len(every)} runs.")
    return lines


def points(run: Run, rows: Sequence[Row]) -> list[Point]:
    """A run's checkpoints that have a score, by step."""
    found = {r.checkpoint: r for r in rows}
    there = [Point(step, found[name], name in run.final) for name, step in run.steps.items() if name in found]
    return sorted((p for p in there if drawing.known(p.row.score)), key=lambda p: (p.step, p.final))


def skill(axis: Axes, rows: Sequence[Row], baseline: str, mine: Mapping[int, Run]) -> None:
    """One panel: the baseline as a line with its band, and each run."""
    drawing.bare(axis)
    for row in rows:
        if row.checkpoint == baseline:
            axis.axhline(row.score, color=SOFT, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
            axis.axhspan(row.score_low, row.score_high, color=SOFT, alpha=0.13, linewidth=0, zorder=0)
    crowded = len(rows) > CROWDED
    for number, run in mine.items():
        line(axis, points(run, rows), number, crowded)
    axis.set_title(plain(rows[0].name), fontsize=9.5, loc="left", color=INK, fontweight="bold" if not rows[0].skill else None)
    axis.margins(y=0.08)
    drawing.ticks(axis)


def line(axis: Axes, found: Sequence[Point], number: int, crowded: bool) -> None:
    """One run: its scores with the band of their intervals, each marked by its verdict."""
    if not found:
        return
    steps, colour = [p.step for p in found], drawing.colour(number)
    low, high = [p.row.score_low for p in found], [p.row.score_high for p in found]
    axis.fill_between(steps, low, high, color=colour, alpha=0.06 if crowded else 0.16, linewidth=0, zorder=2)
    axis.plot(
        steps,
        [p.row.score for p in found],
        color=colour,
        linestyle=drawing.stroke(number),
        linewidth=1.0 if crowded else 1.6,
        zorder=3,
    )
    if len(found) == 1:
        axis.vlines(steps, low, high, color=colour, linewidth=1.4, zorder=3)
    size = 3.2 if crowded else 5.0
    kinds: dict[tuple[str, bool], list[Point]] = {}
    for point in found:
        kinds.setdefault((point.row.difference.verdict if point.row.difference else "same", point.final), []).append(point)
    for (verdict, final), alike in kinds.items():
        face = PAPER if verdict == "unclear" else colour
        ring: dict[str, Any] = {
            "markeredgewidth": 2.0 if final else 1.1,
            "markeredgecolor": INK if final else colour,
            "markerfacecolor": face,
        }
        at, scores = [p.step for p in alike], [p.row.score for p in alike]
        axis.plot(at, scores, linestyle="", marker=MARKERS[verdict], markersize=size, zorder=4, **ring)


def own(axis: Axes, quantity: str, mine: Mapping[int, Run]) -> None:
    """What trainers logged of one quantity; its title says under which names."""
    drawing.bare(axis)
    for number, run in mine.items():
        if curve := run.curves.get(quantity):
            colour, style = drawing.colour(number), drawing.stroke(number)
            axis.plot(curve.steps, curve.values, color=colour, linestyle=style, linewidth=1.2)
    keys = ", ".join(dict.fromkeys(run.curves[quantity].key for run in mine.values() if quantity in run.curves))
    axis.set_title(quantity, fontsize=9.5, loc="left", color=INK)
    axis.set_title(keys, fontsize=7, loc="right", color=SOFT)
    axis.margins(y=0.1)
    drawing.ticks(axis)


def key(axis: Axes, baseline: str, mine: Mapping[int, Run]) -> None:
    """Which line is which."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=SOFT, linewidth=1.1, linestyle=(0, (4, 3)), label=plain(f"{baseline} (baseline)"))]
    for number, run in mine.items():
        name = run.name if run.method in ("", run.name) else f"{run.name} ({run.method})"
        colour, style = drawing.colour(number), drawing.stroke(number)
        lines.append(Line2D([], [], color=colour, linestyle=style, linewidth=1.8, label=plain(name)))
    if any(run.final for run in mine.values()):
        ring: dict[str, Any] = {"markerfacecolor": PAPER, "markeredgecolor": INK, "markeredgewidth": 2.0}
        lines.append(Line2D([], [], linestyle="", marker="o", label="ringed: the run's final model", **ring))
    axis.legend(handles=lines, loc="center", fontsize=8.5, frameon=False, labelcolor=INK, handlelength=2.8)
