"""Many candidates at a glance: a heat map of the differences, a row for each checkpoint, a column for each skill.

Colour is the difference in points.  Only a decided difference bears a mark and its number.  The decision's checkpoint is bold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.comparison.decision import decide
from harness.comparison.number_format import MARKS, format_number
from reports.layout import drawing, text_tables
from reports.layout.drawing import GAIN_COLOURS, GREY, INK, LOSS_COLOURS, PALE_GREY, PAPER
from reports.layout.labels import fit_label, text_width, wrap_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.comparison.result import Comparison, Row

PAGE_HEADING = "Differences at a glance"
IS_OVERVIEW = True  # on the page it stands before the differences of one checkpoint
MIN_CANDIDATES = 7  # up to six have their forests side by side
CELL_WIDTH, CELL_HEIGHT = 1.15, 0.235  # inches
MAX_NAME_WIDTH = 3.6
NAME_SIZE = 8.5
BOLD_WIDTH = 1.13  # of a bold label, by the plain one's
LEGEND_HEIGHT = 0.95
STEPS = (0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0)  # points of one colour
MAX_BEYOND = 0.1  # of the differences, that may be larger than the darkest colour's: else a few pale all others


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes heat_map.png and heat_map.svg; nothing where there are few candidates."""
    figure = draw_figure(comparison)
    return drawing.save_figure(figure, folder, "heat_map") if figure else []


@drawing.cache_figure
def draw_figure(comparison: Comparison) -> Figure | None:
    """The picture; None for up to six candidates."""
    names = list(dict.fromkeys(r.checkpoint for r in comparison.rows if r.difference))
    columns = text_tables.matrix_columns(comparison)
    if len(names) < MIN_CANDIDATES or not columns:
        return None
    from matplotlib.figure import Figure

    labels = [fit_label(name, MAX_NAME_WIDTH, NAME_SIZE) for name in names]
    left = max(text_width(label, NAME_SIZE) for label in labels) * BOLD_WIDTH + 0.25
    heads = [fit_label(name, CELL_WIDTH - 0.1, NAME_SIZE, lines=3) for _, name in columns]
    top = 0.17 * max(head.count("\n") + 1 for head in heads) + 0.15
    width, height = CELL_WIDTH * len(columns), CELL_HEIGHT * len(names)
    total = (max(left + width + 0.15, 6.4), top + height + LEGEND_HEIGHT)
    figure = Figure(figsize=total, facecolor=PAPER)
    axis = figure.add_axes((left / total[0], LEGEND_HEIGHT / total[1], width / total[0], height / total[1]))
    rows = {(r.checkpoint, r.level, r.name): r for r in comparison.rows if r.difference}
    cells = [[rows.get((name, *column)) for column in columns] for name in names]
    differences = [r for line in cells for r in line if r]
    step = colour_step(differences)
    draw_cells(axis, cells, step)
    axis.set_yticks([i + 0.5 for i in range(len(names))], labels, fontsize=NAME_SIZE, color=INK)
    axis.set_xticks([i + 0.5 for i in range(len(columns))], heads, fontsize=NAME_SIZE, color=INK)
    axis.get_xticklabels()[0].set_fontweight("bold" if columns[0][0] == "average" else "normal")
    decision = decide(comparison)
    if decision.checkpoint in names:
        axis.get_yticklabels()[names.index(decision.checkpoint)].set_fontweight("bold")
    draw_scale(figure, step, max(sizes_of(differences), default=0.0), comparison)
    return figure


def sizes_of(rows: Sequence[Row]) -> list[float]:
    """The differences without their signs, in points."""
    return [abs(r.difference.delta) for r in rows if r.difference and not math.isnan(r.difference.delta)]


def colour_step(rows: Sequence[Row]) -> float:
    """How many points one colour covers: the smallest step whose darkest colour holds all but the largest few differences."""
    sizes = sorted(sizes_of(rows))
    most = sizes[len(sizes) - 1 - int(MAX_BEYOND * len(sizes))] if sizes else 0.0
    return next((s for s in STEPS if s * len(GAIN_COLOURS) >= most), STEPS[-1])


def colour_of(delta: float, step: float) -> str:
    """The colour of a difference: that of the paper next to zero."""
    if abs(delta) < step / 2:
        return PAPER
    colours = GAIN_COLOURS if delta > 0 else LOSS_COLOURS
    return colours[min(int(abs(delta) / step), len(colours) - 1)]


def draw_cells(axis: Axes, cells: Sequence[Sequence[Row | None]], step: float) -> None:
    from matplotlib.patches import Rectangle

    for down, line in enumerate(cells):
        for across, row in enumerate(line):
            d = row.difference if row else None
            has_score = d is not None and not math.isnan(d.delta)
            face = colour_of(d.delta, step) if d and has_score else PALE_GREY
            text = "no score" if not has_score else ""
            if d and d.verdict in ("better", "worse"):
                text = f"{MARKS[d.verdict]} {format_number(d.delta, signed=True)}"
                face = colour_of(math.copysign(max(abs(d.delta), step / 2), d.delta), step)  # never as if it were none
            axis.add_patch(Rectangle((across, down), 1, 1, facecolor=face, edgecolor=PAPER, linewidth=1.2))
            axis.text(across + 0.5, down + 0.52, text, ha="center", va="center", fontsize=7.5, color=INK if d else GREY)
    axis.set_xlim(0, len(cells[0]))
    axis.set_ylim(len(cells), 0)
    axis.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def draw_scale(figure: Figure, step: float, largest: float, comparison: Comparison) -> None:
    """The colours with their points, and what a mark means; `largest`: the size of the largest difference."""
    width, height = figure.get_size_inches()
    colours = [*reversed(LOSS_COLOURS), PAPER, *GAIN_COLOURS]
    size = min(0.5, (width - 0.4) / len(colours))
    axis = figure.add_axes((0.2 / width, 0.62 / height, size * len(colours) / width, 0.16 / height))
    for place, colour in enumerate(colours):
        axis.axvspan(place, place + 1, facecolor=colour, edgecolor=PALE_GREY, linewidth=0.5)
    count = len(GAIN_COLOURS)
    ticks = [0, count + 0.5, len(colours)]
    labels = [f"−{step * count:g}", "0", f"+{step * count:g}"]
    if largest > step * count:
        labels = [f"≤ {labels[0]}", "0", f"≥ {labels[2]}"]
    axis.set_xticks(ticks, labels, fontsize=7.5, color=GREY)
    axis.set_yticks([])
    axis.set_xlim(0, len(colours))
    axis.tick_params(length=0, pad=2)
    for spine in axis.spines.values():
        spine.set_visible(False)
    unit = f"Colour: points against {comparison.baseline}; ▲ better, ▼ worse.  Bold: the checkpoint that the decision is about."
    no_mark = "Without a mark nothing is decided, or there is no difference beyond the margin."
    text = wrap_lines([unit, no_mark, *drawing.allowed_differences(comparison)], width - 0.4, 8)
    figure.text(0.2 / width, 0.36 / height, text, fontsize=8, color=GREY, va="top", ha="left")
