"""The per-skill delta plot: a forest of paired differences with their intervals, one panel a candidate (PNG and SVG)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparison.result import Comparison, Row
from reports import drawing
from reports.drawing import LEGEND, plain
from reports.text_tables import nested, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: told apart by colour-blind readers, and by the marker's shape without any colour.
LOOKS = {"better": ("#0072B2", "^"), "worse": ("#D55E00", "v"), "same": ("#555555", "s"), "unclear": ("#7f7f7f", "o")}
PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # keeps a number readable on the zero line
ACROSS = 3  # panels in a row
MOST = 12  # panels in one picture
FEW = 6  # candidates up to which each task is shown under its skill


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes deltas.png and deltas.svg; nothing where there is no candidate."""
    candidates = [c for c in comparison.checkpoints if c != comparison.baseline]
    shown = chosen([c for c in candidates if any(r.checkpoint == c and r.difference for r in comparison.rows)], comparison)
    if not shown:
        return []
    from matplotlib.figure import Figure

    rows = {c: rows_of(comparison, c, tasks=len(shown) <= FEW) for c in shown}
    lines = max(map(len, rows.values()))
    across = min(ACROSS, len(shown))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(1.9 + 4.1 * across, 1.15 + (0.34 * lines + 0.6) * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharex=True)
    for place, axis in enumerate(axes.flat):
        if place < len(shown):
            panel(axis, shown[place], rows[shown[place]], labels=place % across == 0)
            axis.tick_params(axis="x", labelbottom=place + across >= len(shown))  # the lowest of its column
        else:
            axis.set_axis_off()
    what = f"points against {plain(comparison.baseline)}, with the paired 95 % interval"
    figure.supxlabel("\n".join([what, *drawing.accepted(comparison), LEGEND]), fontsize=9)
    if len(candidates) > len(shown):
        figure.suptitle(f"Of {len(candidates)} candidates the {len(shown)} that are highest on average", fontsize=9)
    return drawing.save(figure, folder, "deltas")


def chosen(candidates: list[str], comparison: Comparison) -> list[str]:
    """As many as fit, in their order: the highest on average."""
    gained = {r.checkpoint: r.difference.delta for r in comparison.at("average") if r.difference}
    highest = sorted(candidates, key=lambda c: -gained.get(c, -math.inf))[:MOST]
    return [c for c in candidates if c in highest]


def rows_of(comparison: Comparison, checkpoint: str, tasks: bool) -> list[Row]:
    """The candidate's rows with a difference, in the order of the tables."""
    mine = nested([r for r in comparison.rows if r.checkpoint == checkpoint and r.difference])
    return [r for r in mine if tasks or r.level != "task"]


def panel(axis: Axes, checkpoint: str, rows: list[Row], labels: bool) -> None:
    """One candidate: a line for each row, from the top down."""
    axis.axvline(0, color="#222222", linewidth=0.8)
    for place, row in enumerate(rows):
        draw(axis, -place, row)
    axis.set_yticks([-i for i in range(len(rows))], [label(r) for r in rows] if labels else [""] * len(rows), fontsize=9)
    for tick, row in zip(axis.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row.level == "average" else "normal")
        tick.set_color("#777777" if row.level == "task" else "#111111")
    axis.set_ylim(-len(rows) + 0.4, 0.6)
    axis.set_title(plain(checkpoint), fontsize=10, loc="left", pad=8)
    axis.margins(x=0.14)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def draw(axis: Axes, height: float, row: Row) -> None:
    found = row.difference
    if found is None or math.isnan(found.delta):
        return
    colour, marker = LOOKS[found.verdict]
    small = row.level == "task"
    style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4 if small else 6, "linewidth": 0}
    axis.plot(
        [found.delta_low, found.delta_high],
        [height, height],
        color=colour,
        linewidth=1.2 if small else 2.2,
        solid_capstyle="butt",
    )
    axis.plot([found.delta], [height], **style)
    text = number(found.delta, signed=True)
    after = found.delta >= 0  # the number stands outwards, where the zero line is not
    axis.annotate(
        text,
        (found.delta_high if after else found.delta_low, height),
        (4 if after else -4, 0),
        textcoords="offset points",
        va="center",
        ha="left" if after else "right",
        fontsize=7.5,
        color=colour,
        bbox=PLATE,
    )


def label(row: Row) -> str:
    return plain(f"{row.name}    " if row.level == "task" else row.name)
