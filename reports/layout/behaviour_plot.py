"""The panel of behaviour as a picture: paired differences from the baseline with their intervals, a line for each measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.grouping import group_by
from reports.layout.drawing import GREY, INK, PALE_GREY, PAPER, run_colour, style_axis
from reports.layout.labels import fit_label, wrap_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.behaviour.panel import BehaviourRow

MAX_CANDIDATES = 6  # that fit into one line; the table has all
MARKERS = {"more": "^", "less": "v", "unclear": "o", "": "o"}
WIDTH, LINE_HEIGHT = 9.5, 0.34  # inches
Point = tuple[float, float, float]  # difference, low, high


def draw_behaviour(rows: Sequence[BehaviourRow], baseline: str) -> Figure | None:
    """Shares in points on the left, lengths and rates in % of the baseline's on the right; None where nothing differs."""
    values = {row.measure.name: row.value.value for row in rows if row.checkpoint == baseline}
    candidates = [name for name in group_by(rows, lambda row: row.checkpoint) if name != baseline][:MAX_CANDIDATES]
    mine = [row for row in rows if row.checkpoint in candidates and row.value.delta is not None]
    shares = [row for row in mine if row.measure.unit.startswith("%")]
    rates = [row for row in mine if not row.measure.unit.startswith("%") and values.get(row.measure.name)]
    panels = [(part, title) for part, title in ((shares, "points"), (rates, f"% of {baseline}'s value")) if part]
    if not panels:
        return None
    from matplotlib.figure import Figure

    lines = max(len({row.measure.name for row in part}) for part, _ in panels)
    height = 1.5 + LINE_HEIGHT * lines * max(1.0, 0.45 * len(candidates))
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=PAPER)
    for axis, (part, title) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True):
        scales = {name: 1.0 if title == "points" else 100 / abs(values[name]) for name in {r.measure.name for r in part}}
        draw_measures(axis, part, candidates, scales)
        axis.set_xlabel(fit_label(title, WIDTH / 2 - 1, 9), fontsize=9, color=GREY)
    name_candidates(figure, candidates, baseline)
    return figure


def draw_measures(axis: Axes, rows: Sequence[BehaviourRow], candidates: Sequence[str], scales: dict[str, float]) -> None:
    """One line for each measure, from the top down; the candidates beneath one another within it."""
    style_axis(axis)
    axis.axvline(0, color=INK, linewidth=0.8)
    names = list(dict.fromkeys(row.measure.name for row in rows))
    step = 0.7 / len(candidates)
    for row in rows:
        place = candidates.index(row.checkpoint)
        y = -names.index(row.measure.name) - (place - (len(candidates) - 1) / 2) * step
        point = scaled_point(row, scales[row.measure.name])
        if any(map(math.isnan, point)):
            continue
        delta, low, high = point
        colour = run_colour(place)
        axis.plot([low, high], [y, y], color=colour, linewidth=1.6, alpha=0.55, solid_capstyle="butt")
        face = colour if row.change in ("more", "less") else PAPER
        axis.plot(delta, y, MARKERS[row.change], color=colour, markerfacecolor=face, markersize=5.5)
    axis.set_yticks([-i for i in range(len(names))], names, fontsize=9, color=INK)
    axis.set_ylim(-len(names) + 0.4, 0.6)
    axis.grid(axis="y", color=PALE_GREY, linewidth=0.4)


def scaled_point(row: BehaviourRow, scale: float) -> Point:
    value = row.value
    delta, low, high = (math.nan if x is None else scale * x for x in (value.delta, value.delta_low, value.delta_high))
    return delta, low, high


def name_candidates(figure: Figure, candidates: Sequence[str], baseline: str) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=run_colour(i), marker="o", label=fit_label(name, WIDTH / 3 - 0.5, 9))
        for i, name in enumerate(candidates)
    ]
    figure.legend(handles=marks, loc="outside upper left", ncols=3, fontsize=9, frameon=False, labelcolor=INK)
    text = [f"Differences from {baseline}, with paired 95 % intervals", "▲ more    ▼ less (after correction for all measures)"]
    figure.supxlabel(wrap_lines(text, WIDTH, 9), fontsize=9, color=GREY)
