"""The cost of the gains in KL, length and refusal, and the Pareto front (tradeoff.png, .svg and .md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparison import tradeoff
from harness.comparison.number_format import ABSENT, format_difference, format_number
from harness.grouping import group_by
from harness.visible_text import escape_markdown
from reports.layout import drawing
from reports.layout.drawing import DASHES, GREY, INK, PAPER
from reports.layout.labels import fit_label, text_width, wrap_lines
from reports.layout.markdown import markdown_table
from reports.layout.text_tables import TextTable, skill_order
from reports.layout.tradeoff_panels import TradeoffPanel, TradeoffPoint, fill_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.comparison.result import Comparison
    from harness.comparison.tradeoff import CheckpointCost

PAGE_HEADING = "Cost of the gains"
MAX_LEGEND_RUNS = 23
PANEL_WIDTH, MAX_LEGEND_WIDTH, LABEL_WIDTH = 6.2, 3.2, 1.9  # inches
LEGEND_SIZE = 8.5
MAX_LABELLED_POINTS = 24  # of a panel; of more, only the front, or else the highest, bear a label and an interval
HIGHEST = 3
MARKERS = "os^Pvd"  # one for each round through the colours


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes tradeoff.md and, where there is anything to draw, the picture."""
    if len(comparison.checkpoints) < 2:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    markdown = folder / "tradeoff.md"
    markdown.write_text(tradeoff_document(comparison), encoding="utf-8")
    figure = draw_figure(comparison)
    return [markdown, *(drawing.save_figure(figure, folder, "tradeoff") if figure else [])]


@drawing.cache_figure
def draw_figure(comparison: Comparison) -> Figure | None:
    """The picture; None where there is nothing to show."""
    panels = fill_panels(comparison)
    if not panels:
        return None
    from matplotlib.figure import Figure

    down = math.ceil(len(panels) / 2)
    across = min(2, len(panels))
    numbers = drawing.number_runs(comparison)
    legend = legend_layout(numbers, comparison.baseline, PANEL_WIDTH * across)
    rows_of_legend = math.ceil(len(legend.labels) / legend.columns)
    size = (PANEL_WIDTH * across, 4.1 * down + 0.4 + 0.2 * rows_of_legend)
    figure = Figure(figsize=size, facecolor=PAPER)
    figure.set_layout_engine("constrained", hspace=0.06, wspace=0.05)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for axis, panel in zip(axes, panels, strict=False):
        draw_panel(axis, panel, numbers, comparison.baseline)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    draw_legend(figure, legend, numbers)
    if differences := drawing.allowed_differences(comparison):
        figure.suptitle(wrap_lines(differences, PANEL_WIDTH * across - 0.4, 8.5), fontsize=8.5, color=GREY)
    drawing.fix_layout(figure)  # labels find their places on the finished layout
    for axis, panel in zip(axes, panels, strict=False):
        points = [(p.x.value, p.y.value) for p in panel.points]
        drawing.label_points(axis, points, point_labels(panel, comparison.baseline))
    return figure


def run_of(spot: CheckpointCost) -> str:
    """The run that a checkpoint belongs to; the checkpoint itself where it belongs to none."""
    return spot.run or spot.checkpoint


def draw_panel(axis: Axes, panel: TradeoffPanel, numbers: dict[str, int], baseline: str) -> None:
    drawing.style_axis(axis)
    dense = len(panel.points) > MAX_LABELLED_POINTS
    if panel.zero_line:
        axis.axhline(0, color=GREY, linewidth=1.0, linestyle=DASHES, zorder=1)
    candidates = [p for p in panel.points if p.spot.checkpoint != baseline]
    for name, number in numbers.items():
        path = [p for p in candidates if run_of(p.spot) == name and p.spot.step is not None]
        path.sort(key=lambda p: p.spot.step or 0)
        style: dict[str, Any] = {"color": drawing.run_colour(number), "linestyle": drawing.run_line_style(number)}
        style |= {"linewidth": 0.7, "alpha": 0.2} if dense else {"linewidth": 1.3}
        axis.plot([p.x.value for p in path], [p.y.value for p in path], zorder=3, **style)
    names = {p.spot.checkpoint: baseline if p.spot.checkpoint == baseline else run_of(p.spot) for p in panel.points}
    for (name, _), points in group_by(panel.points, lambda p: (names[p.spot.checkpoint], p.on_front)).items():
        draw_points(axis, points, (GREY, "D") if name == baseline else run_look(numbers[name]), dense)
    axis.set_title(fit_label(panel.title, PANEL_WIDTH - 0.9, 10, lines=2), fontsize=10, loc="left", color=INK)
    axis.set_xlabel(fit_label(panel.x_label, PANEL_WIDTH - 0.9, 8.5), fontsize=8.5, color=GREY)
    axis.set_ylabel(fit_label(panel.y_label, 3.2, 8.5), fontsize=8.5, color=GREY)
    axis.margins(0.09)
    draw_front(axis, sorted((p.x.value, p.y.value) for p in panel.points if p.on_front))


def run_look(number: int) -> tuple[str, str]:
    """The colour and marker of the run with this number."""
    return drawing.run_colour(number), MARKERS[number // len(drawing.RUN_COLOURS) % len(MARKERS)]


def draw_front(axis: Axes, front: Sequence[tuple[float, float]]) -> None:
    """The border of the dominated region, which lies below and left of it."""
    if not front:
        return
    left, low = axis.get_xlim()[0], axis.get_ylim()[0]
    corners = [(left, front[0][1]), *front, (front[-1][0], low)]
    axis.step([x for x, _ in corners], [y for _, y in corners], where="pre", color=GREY, linewidth=5, alpha=0.22, zorder=1)
    axis.set_xlim(left=left)
    axis.set_ylim(bottom=low)


def draw_points(axis: Axes, points: Sequence[TradeoffPoint], look: tuple[str, str], dense: bool) -> None:
    """Checkpoints of one look (colour, marker) with their intervals; those on the front are filled."""
    (colour, marker), on_front = look, points[0].on_front
    x, y = [p.x.value for p in points], [p.y.value for p in points]
    thin: dict[str, Any] = {"color": colour, "linewidth": 0.9, "alpha": 0.45, "zorder": 2}
    if on_front or not dense:
        axis.hlines(y, [p.x.low for p in points], [p.x.high for p in points], **thin)
        axis.vlines(x, [p.y.low for p in points], [p.y.high for p in points], **thin)
    face: dict[str, Any] = {"markeredgecolor": colour, "markerfacecolor": colour if on_front else PAPER}
    size, edge = (4.0, 1.0) if dense and not on_front else (5.5, 1.4)
    axis.plot(x, y, linestyle="", marker=marker, markersize=size, markeredgewidth=edge, zorder=4, **face)


def point_labels(panel: TradeoffPanel, baseline: str) -> list[str]:
    """A label for each point: the step of a run's checkpoint, otherwise the name.  Many points: only the few that matter."""
    if len(panel.points) <= MAX_LABELLED_POINTS:
        by_name = [p.spot.checkpoint == baseline or p.spot.step is None for p in panel.points]
        texts = zip(panel.points, by_name, strict=True)
        return [short_name(p) if use_name else str(p.spot.step) for p, use_name in texts]
    few = [p for p in panel.points if p.on_front] or sorted(panel.points, key=lambda p: -p.y.value)[:HIGHEST]
    return [short_name(p) if p in few or p.spot.checkpoint == baseline else "" for p in panel.points]


def short_name(point: TradeoffPoint) -> str:
    """The name of a checkpoint as a label within a panel."""
    return fit_label(point.spot.checkpoint, LABEL_WIDTH, drawing.LABEL_SIZE)


@dataclass(frozen=True)
class LegendLayout:
    """The labels of a legend, the baseline's first, and how many stand in a row."""

    labels: list[str]
    columns: int


def legend_layout(numbers: dict[str, int], baseline: str, inches: float) -> LegendLayout:
    """As many columns as the widest label allows in a width."""
    names = [f"{baseline} (baseline)", *list(numbers)[:MAX_LEGEND_RUNS]]
    if (more := len(numbers) - MAX_LEGEND_RUNS) > 0:
        names.append(f"and {more} more, in the table")
    labels = [fit_label(name, MAX_LEGEND_WIDTH, LEGEND_SIZE) for name in names]
    column = max(text_width(label, LEGEND_SIZE) for label in labels) + 0.75  # with its line and the gap
    return LegendLayout(labels, max(1, min(6, int((inches - 0.3) / column))))


def draw_legend(figure: Figure, layout: LegendLayout, numbers: dict[str, int]) -> None:
    from matplotlib.lines import Line2D

    ring: dict[str, Any] = {"markerfacecolor": PAPER, "markeredgewidth": 1.4, "linewidth": 1.3}
    diamond = ring | {"marker": "D", "linewidth": 0.0}
    lines = [Line2D([], [], color=GREY, label=layout.labels[0], **diamond)]
    run_numbers = list(numbers.values())[:MAX_LEGEND_RUNS]
    for label, number in zip(layout.labels[1:], run_numbers, strict=False):
        colour, marker = run_look(number)
        style = drawing.run_line_style(number)
        lines.append(Line2D([], [], color=colour, linestyle=style, label=label, marker=marker, **ring))
    if len(layout.labels) > len(lines):
        lines.append(Line2D([], [], linestyle="", label=layout.labels[-1]))
    look: dict[str, Any] = {"fontsize": LEGEND_SIZE, "frameon": False, "handlelength": 2.6, "columnspacing": 1.4}
    legend = figure.legend(handles=lines, loc="outside lower center", ncols=layout.columns, **look)
    for text in legend.get_texts():
        text.set_color(INK)


def tradeoff_document(comparison: Comparison) -> str:
    """The picture's numbers as a table, with the numbers that are unknown."""
    spots = tradeoff.checkpoint_costs(comparison)
    notes = "\n".join(f"- {text}" for text in markdown_notes(comparison, spots))
    return "\n\n".join([f"# {PAGE_HEADING}", markdown_table(cost_table(comparison, spots)), notes]) + "\n"


def cost_table(comparison: Comparison, spots: Sequence[CheckpointCost]) -> TextTable:
    """One row a checkpoint: its average, the costs, and the skills on whose front it lies."""
    costs = ("KL", "tokens an answer", "harmful refused, %", "harmless refused, %", "training FLOPs", "training seconds")
    choices = tradeoff.skill_fronts(comparison)
    rows = []
    for spot in spots:
        difference = spot.average.difference if spot.average else None
        average = format_number(spot.average.score if spot.average else None)
        tokens = f"{format_number(spot.length)} ({format_number(spot.length_change, signed=True)} %)"
        refusals = [spot.refusal.harmful.value, spot.refusal.harmless.value] if spot.refusal else [None, None]
        kl, flops, seconds = (ABSENT if x is None else f"{x:.3g}" for x in (spot.kl, spot.flops, spot.seconds))
        fronts = sorted((c.target for c in choices if spot.checkpoint in c.front), key=skill_order)
        cells = (format_difference(difference) if difference else average, kl, ABSENT if math.isnan(spot.length) else tokens)
        rows.append((spot.checkpoint, *cells, *map(format_number, refusals), flops, seconds, ", ".join(fronts) or ABSENT))
    return TextTable("", ("checkpoint", "average", *costs, "on the front of"), tuple(rows))


def markdown_notes(comparison: Comparison, spots: Sequence[CheckpointCost]) -> Iterator[str]:
    """Warnings, how to read the columns, and what the results do not have; names are escaped."""
    yield from map(escape_markdown, comparison.warnings)
    yield from (escape_markdown(f"Allowed difference: {text}") for text in comparison.accepted_differences)
    yield "Average: the difference from the baseline in points; of the baseline itself, the score."
    yield (
        "On the front of a skill: no other checkpoint is at least as good both there and in the mean of the other skills, "
        "by the observed scores."
    )
    if any(s.flops is not None or s.seconds is not None for s in spots):
        yield "Training: up to this checkpoint, as its trainer counted; a PPO run includes the cost of its reward model."
    if without_kl := sorted({run_of(s) for s in spots[1:] if s.kl is None}):
        yield f"No KL was logged by {escape_markdown(', '.join(without_kl))}."
    if not any(s.refusal for s in spots):
        yield "No task here measures refusal in both directions (xstest does)."
