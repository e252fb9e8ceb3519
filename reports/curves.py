"""Score against training step, with bands: one panel a skill; beneath, the curves that the runs' own trainers logged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.grouping import group_by
from harness.training_log import KEYS
from reports.layout import drawing, text_tables
from reports.layout.drawing import DASHES, GREY, INK, PAPER, VERDICT_MARKERS
from reports.layout.labels import fit_label, text_width, wrap_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.comparison.result import Comparison, Row
    from harness.comparison.training_runs import TrainingRun

PAGE_HEADING = "Scores over training"
PANELS_PER_ROW = 4
PANEL_WIDTH, LEGEND_WIDTH = 3.1, 2.1  # inches
LEGEND_SIZE, SMALL_LEGEND_SIZE, MANY_RUNS = 8.5, 7.0, 8
SCORE_HEIGHT, LOG_HEIGHT = 2.35, 1.9  # inches of a row of panels
MAX_RUNS = 12
MAX_NAMES = 4  # of checkpoints that the picture leaves out
MAX_LARGE_POINTS = 40  # of a panel; of more, each is small
LEGEND = drawing.VERDICT_LEGEND.replace("●", "○")  # hollow, as the line beneath must stay visible


@dataclass(frozen=True)
class CurvePoint:
    """A checkpoint at its step; score and interval as the comparison has them."""

    step: int
    row: Row
    final: bool

    @property
    def verdict(self) -> str:
        return self.row.difference.verdict if self.row.difference else "same"


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes curves.png and curves.svg; nothing where no run has steps to show."""
    figure = draw_figure(comparison)
    return drawing.save_figure(figure, folder, "curves") if figure else []


@drawing.cache_figure
def draw_figure(comparison: Comparison) -> Figure | None:
    """The picture; None where there is nothing to show."""
    curves = select_runs(comparison)
    numbers = drawing.number_runs(comparison)
    runs = {numbers[run.name]: run for run in curves[:MAX_RUNS]}
    columns = text_tables.matrix_columns(comparison)
    if not runs or not columns:
        return None
    from matplotlib.figure import Figure

    quantities = [q for q in KEYS if any(q in run.curves for run in runs.values())]
    upper, lower = math.ceil((len(columns) + 1) / PANELS_PER_ROW), math.ceil(len(quantities) / PANELS_PER_ROW)
    ratios = [SCORE_HEIGHT] * upper + [LOG_HEIGHT] * lower
    figure = Figure(figsize=(PANEL_WIDTH * PANELS_PER_ROW, sum(ratios) + 0.5), facecolor=PAPER)
    figure.set_layout_engine("constrained", hspace=0.06, wspace=0.05)
    axes = list(figure.subplots(upper + lower, PANELS_PER_ROW, squeeze=False, gridspec_kw={"height_ratios": ratios}).flat)
    score_axes, log_axes = axes[: upper * PANELS_PER_ROW], axes[upper * PANELS_PER_ROW :]
    for axis, column in zip(score_axes, columns, strict=False):
        draw_scores(axis, [r for r in comparison.rows if (r.level, r.name) == column], comparison.baseline, runs)
    for axis, quantity in zip(log_axes, quantities, strict=False):
        draw_log(axis, quantity, runs)
    align_panels(axes, upper, runs)
    for axis in [*score_axes[len(columns) :], *log_axes[len(quantities) :]]:
        axis.set_axis_off()
    draw_legend(score_axes[-1], comparison.baseline, runs)
    lines = [*figure_notes(comparison, curves), *drawing.allowed_differences(comparison), LEGEND]
    figure.supxlabel(wrap_lines(lines, PANEL_WIDTH * PANELS_PER_ROW - 0.4, 8.5), fontsize=8.5, color=GREY)
    return figure


def select_runs(comparison: Comparison) -> list[TrainingRun]:
    """The runs that make a curve: several checkpoints; where no run has, those with one checkpoint and a log."""
    several = [r for r in comparison.runs if len(placed_steps(r)) > 1]
    return several or [r for r in comparison.runs if placed_steps(r) and r.curves]


def placed_steps(run: TrainingRun) -> dict[str, int]:
    """The step of each checkpoint, but of a final model after a log that counts no steps: where that run ended is not known."""
    return {name: step for name, step in run.steps.items() if step or name not in run.final}


def align_panels(axes: Sequence[Axes], upper: int, runs: Mapping[int, TrainingRun]) -> None:
    """Gives every panel the same steps, and each row of panels its unit."""
    last_step = max(
        [s for r in runs.values() for s in r.steps.values()] + [c.steps[-1] for r in runs.values() for c in r.curves.values()]
    )
    for axis in axes:
        axis.set_xlim(-0.03 * last_step, 1.04 * last_step)
    for index, axis in enumerate(axes[::PANELS_PER_ROW]):
        axis.set_ylabel("points" if index < upper else "as logged", fontsize=8.5, color=GREY)


def figure_notes(comparison: Comparison, runs: Sequence[TrainingRun]) -> list[str]:
    """How to read the picture, and which checkpoints and runs it leaves out."""
    lines = ["training step; bands and bars: 95 % interval of each score; marks: the paired difference from the baseline"]
    single = [c for c in comparison.checkpoints if c != comparison.baseline and not any(c in placed_steps(r) for r in runs)]
    if single:
        more = f" and {len(single) - MAX_NAMES} more" if len(single) > MAX_NAMES else ""
        lines.append(f"Not drawn, since one checkpoint makes no curve: {', '.join(single[:MAX_NAMES])}{more}.")
    if len(runs) > MAX_RUNS:
        lines.append(f"The first {MAX_RUNS} of {len(runs)} runs.")
    return lines


def curve_points(run: TrainingRun, rows: Sequence[Row]) -> list[CurvePoint]:
    """A run's checkpoints that have a score, by step."""
    by_name = {r.checkpoint: r for r in rows if drawing.is_number(r.score)}
    points = [CurvePoint(step, by_name[name], name in run.final) for name, step in placed_steps(run).items() if name in by_name]
    return sorted(points, key=lambda p: (p.step, p.final))


def draw_scores(axis: Axes, rows: Sequence[Row], baseline: str, runs: Mapping[int, TrainingRun]) -> None:
    """One panel: the baseline as a line with its band, and each run."""
    drawing.style_axis(axis)
    for row in rows:
        if row.checkpoint == baseline:
            axis.axhline(row.score, color=GREY, linewidth=1.1, linestyle=DASHES, zorder=1)
            axis.axhspan(row.score_low, row.score_high, color=GREY, alpha=0.13, linewidth=0, zorder=0)
    small = len(rows) > MAX_LARGE_POINTS
    for number, run in runs.items():
        if points := curve_points(run, rows):
            draw_curve(axis, points, number, small)
    weight = "bold" if not rows[0].skill else None
    axis.set_title(
        fit_label(rows[0].name, PANEL_WIDTH - 0.55, 9.5, lines=2), fontsize=9.5, loc="left", color=INK, fontweight=weight
    )
    axis.margins(y=0.08)
    drawing.format_step_axis(axis)


def draw_curve(axis: Axes, points: Sequence[CurvePoint], number: int, small: bool) -> None:
    """One run: its scores with the band of their intervals, and the mark of each verdict."""
    steps, colour, style = [p.step for p in points], drawing.run_colour(number), drawing.run_line_style(number)
    low, high = [p.row.score_low for p in points], [p.row.score_high for p in points]
    axis.fill_between(steps, low, high, color=colour, alpha=0.06 if small else 0.16, linewidth=0, zorder=2)
    width = 1.0 if small else 1.6
    axis.plot(steps, [p.row.score for p in points], color=colour, linestyle=style, linewidth=width, zorder=3)
    if len(points) == 1:
        axis.vlines(steps, low, high, color=colour, linewidth=1.4, zorder=3)
    size = 3.2 if small else 5.0
    for (verdict, final), alike in group_by(points, lambda p: (p.verdict, p.final)).items():
        ring: dict[str, Any] = {
            "markeredgewidth": 2.0 if final else 1.1,
            "markeredgecolor": INK if final else colour,
            "markerfacecolor": PAPER if verdict == "unclear" else colour,
        }
        x, y = [p.step for p in alike], [p.row.score for p in alike]
        axis.plot(x, y, linestyle="", marker=VERDICT_MARKERS[verdict], markersize=size, zorder=4, **ring)


def draw_log(axis: Axes, quantity: str, runs: Mapping[int, TrainingRun]) -> None:
    """One quantity as the trainers logged it, with the names that they gave it."""
    drawing.style_axis(axis)
    for number, run in runs.items():
        if curve := run.curves.get(quantity):
            colour, style = drawing.run_colour(number), drawing.run_line_style(number)
            marker = "." if len(curve.steps) == 1 else ""  # a line through one point is invisible
            axis.plot(curve.steps, curve.values, color=colour, linestyle=style, linewidth=1.2, marker=marker)
    keys = ", ".join(dict.fromkeys(run.curves[quantity].key for run in runs.values() if quantity in run.curves))
    axis.set_title(quantity, fontsize=9.5, loc="left", color=INK)
    room = PANEL_WIDTH - 0.75 - text_width(quantity, 9.5)
    axis.set_title(fit_label(keys, room, 7), fontsize=7, loc="right", color=GREY)
    axis.margins(y=0.1)
    drawing.format_step_axis(axis)


def draw_legend(axis: Axes, baseline: str, runs: Mapping[int, TrainingRun]) -> None:
    from matplotlib.lines import Line2D

    size = LEGEND_SIZE if len(runs) <= MANY_RUNS else SMALL_LEGEND_SIZE
    baseline_label = fit_label(f"{baseline} (baseline)", LEGEND_WIDTH, size)
    lines = [Line2D([], [], color=GREY, linewidth=1.1, linestyle=DASHES, label=baseline_label)]
    for number, run in runs.items():
        name = run.name if run.method in ("", run.name) else f"{run.name} ({run.method})"
        label = fit_label(name, LEGEND_WIDTH, size)
        colour, style = drawing.run_colour(number), drawing.run_line_style(number)
        lines.append(Line2D([], [], color=colour, linestyle=style, linewidth=1.8, label=label))
    if any(run.final for run in runs.values()):
        ring: dict[str, Any] = {"markerfacecolor": PAPER, "markeredgecolor": INK, "markeredgewidth": 2.0}
        lines.append(Line2D([], [], linestyle="", marker="o", label="ringed: the run's final model", **ring))
    axis.legend(handles=lines, loc="center", fontsize=size, frameon=False, labelcolor=INK, handlelength=2.4)
