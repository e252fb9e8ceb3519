"""The per-skill delta plot: a forest of paired differences with their intervals, one panel a candidate (PNG and SVG)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from harness.comparison.decision import decide
from harness.comparison.number_format import format_number
from reports.layout import drawing
from reports.layout.drawing import VERDICT_LEGEND, VERDICT_MARKERS
from reports.layout.labels import fit_label, wrap_lines
from reports.layout.text_tables import nest_tasks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.comparison.result import Comparison, Row

# Okabe and Ito's blue, and their vermilion darkened until numbers can be read in it: colour-blind readers tell them apart,
# and the marker's shape needs no colour at all.
VERDICT_COLOURS = {"better": "#0072B2", "worse": "#B84A00", "same": "#333333", "unclear": drawing.GREY}
NUMBER_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # keeps a number readable on the zero line
PANELS_PER_ROW = 3
MAX_PANELS = 6  # of more candidates the heat map shows all
PANEL_WIDTH, NAME_WIDTH = 4.1, 1.75  # inches


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes deltas.png and deltas.svg; nothing where there is no candidate."""
    candidates = [c for c in comparison.checkpoints if c != comparison.baseline]
    drawable = [c for c in candidates if any(r.checkpoint == c and r.difference for r in comparison.rows)]
    panels = select_highest(drawable, comparison)
    if not panels:
        return []
    from matplotlib.figure import Figure

    rows = {c: candidate_rows(comparison, c) for c in panels}
    lines = max(map(len, rows.values()))
    across = min(PANELS_PER_ROW, len(panels))
    down = math.ceil(len(panels) / across)
    figure = Figure(figsize=(1.9 + PANEL_WIDTH * across, 1.4 + (0.34 * lines + 0.75) * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharex=True)
    for index, axis in enumerate(axes.flat):
        if index < len(panels):
            draw_panel(axis, panels[index], rows[panels[index]], labels=index % across == 0)
            axis.tick_params(axis="x", labelbottom=index + across >= len(panels))  # the lowest of its column
        else:
            axis.set_axis_off()
    unit = f"points against {comparison.baseline}, with the paired 95 % interval"
    foot = [unit, *drawing.allowed_differences(comparison), VERDICT_LEGEND]
    figure.supxlabel(wrap_lines(foot, 1.5 + PANEL_WIDTH * across, 9), fontsize=9)
    if len(candidates) > len(panels):
        title = f"Of {len(candidates)} candidates the {len(panels)} with the best standing, the best choice first"
        figure.suptitle(title, fontsize=9)
    return drawing.save_figure(figure, folder, "deltas")


def select_highest(candidates: list[str], comparison: Comparison) -> list[str]:
    """The candidates as they are; of more than fit, those that come first in the decision, in its order."""
    if len(candidates) <= MAX_PANELS:
        return candidates
    return [c for c in decide(comparison).order if c in candidates][:MAX_PANELS]


def candidate_rows(comparison: Comparison, checkpoint: str) -> list[Row]:
    """The candidate's rows with a difference, in the order of the tables."""
    return list(nest_tasks([r for r in comparison.rows if r.checkpoint == checkpoint and r.difference]))


def draw_panel(axis: Axes, checkpoint: str, rows: list[Row], labels: bool) -> None:
    """One candidate: a line for each row, from the top down."""
    axis.axvline(0, color="#222222", linewidth=0.8)
    for index, row in enumerate(rows):
        draw_difference(axis, -index, row)
    names = [fit_label(r.name, NAME_WIDTH, 9, lines=2) + "    " * (r.level == "task") if labels else "" for r in rows]
    axis.set_yticks([-i for i in range(len(rows))], names, fontsize=9)
    for tick, row in zip(axis.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row.level == "average" else "normal")
        tick.set_color(drawing.GREY if row.level == "task" else drawing.INK)
    axis.set_ylim(-len(rows) + 0.4, 0.6)
    axis.set_title(fit_label(checkpoint, PANEL_WIDTH - 0.35, 10, lines=2), fontsize=10, loc="left", pad=8)
    axis.margins(x=0.14)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def draw_difference(axis: Axes, height: float, row: Row) -> None:
    """An estimate with its interval, and the number on the side away from zero."""
    d = row.difference
    if d is None or math.isnan(d.delta):
        return
    colour, marker = VERDICT_COLOURS[d.verdict], VERDICT_MARKERS[d.verdict]
    width, size = (1.2, 4) if row.level == "task" else (2.2, 6)
    axis.plot([d.delta_low, d.delta_high], [height, height], color=colour, linewidth=width, solid_capstyle="butt")
    axis.plot([d.delta], [height], color=colour, marker=marker, markersize=size, linewidth=0)
    after = d.delta >= 0
    axis.annotate(
        format_number(d.delta, signed=True),
        (d.delta_high if after else d.delta_low, height),
        (4 if after else -4, 0),
        textcoords="offset points",
        va="center",
        ha="left" if after else "right",
        fontsize=7.5,
        color=colour,
        bbox=NUMBER_BOX,
    )
