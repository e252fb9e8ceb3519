"""What a gain was paid with: against KL, length and refusal, and the Pareto front (tradeoff.png, .svg and .md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparison import tradeoff
from harness.comparison.result import Comparison
from harness.comparison.tradeoff import Choice, Measured, Spot
from reports import drawing, table, text_tables
from reports.drawing import INK, PAPER, SOFT, plain
from reports.text_tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 23  # runs in the legend
GAIN = "average, points gained"
CROWDED = 24  # points of a panel from which on only the front, or else the highest, bear a name and an interval
HIGHEST = 3
MARKERS = "os^Pvd"  # one for each round through the colours


@dataclass(frozen=True)
class Dot:
    """A checkpoint in one panel."""

    spot: Spot
    x: Measured
    y: Measured
    front: bool = False


@dataclass(frozen=True)
class Panel:
    """Where checkpoints lie by two of their numbers."""

    title: str
    across: str
    up: str
    dots: list[Dot]
    zero: bool = False  # a line where nothing was gained


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes tradeoff.md and, where there is anything to draw, the picture."""
    if len(comparison.checkpoints) < 2:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "tradeoff.md"
    told.write_text(as_markdown(comparison), encoding="utf-8")
    drawn = figure(comparison)
    return [told, *(drawing.save(drawn, folder, "tradeoff") if drawn else [])]


def panels(comparison: Comparison) -> list[Panel]:
    """Those that these results can fill."""
    spots = tradeoff.spots(comparison)
    found = [
        Panel("What KL bought", "KL from the start of the run, as logged", GAIN, against(spots, [s.kl for s in spots]), True),
        Panel("What length bought", "longer answers, % more tokens", GAIN, against(spots, [s.longer for s in spots]), True),
        refusals(spots),
        *(front(spots, c) for c in tradeoff.choices(comparison)[:1]),
    ]
    return [p for p in found if len(p.dots) > 1]


def against(spots: Sequence[Spot], costs: Sequence[float | None]) -> list[Dot]:
    """The average difference with its interval, by what it cost; the baseline gained nothing at no cost."""
    found = []
    for spot, cost in zip(spots, costs, strict=True):
        gain, price = gained(spot), 0.0 if spot is spots[0] else cost
        if gain and price is not None and not math.isnan(price):
            found.append(Dot(spot, Measured(price, price, price), gain))
    return found


def gained(spot: Spot) -> Measured | None:
    """The average difference; nothing for the baseline itself; None where there is none."""
    if spot.average is None:
        return None
    d = spot.average.difference
    return Measured(d.delta, d.delta_low, d.delta_high) if d else Measured(0.0, 0.0, 0.0)


def refusals(spots: Sequence[Spot]) -> Panel:
    known = [(s, s.refusal) for s in spots if s.refusal]
    task = known[0][1].task if known else ""
    dots = [Dot(s, r.harmless, r.harmful) for s, r in known if r.task == task]
    return Panel(
        f"Refusal, both ways ({task}): best is the upper left",
        "harmless prompts refused, %",
        "harmful prompts refused, %",
        dots,
    )


def front(spots: Sequence[Spot], choice: Choice) -> Panel:
    by_name = {s.checkpoint: s for s in spots}
    dots = [Dot(by_name[n], x, y, n in choice.front) for n, (x, y) in choice.scores.items()]
    title = f"What {choice.target} costs the other skills; filled: the Pareto front"
    return Panel(title, f"{choice.target}, points", "mean of the other skills, points", dots)


@drawing.once
def figure(comparison: Comparison) -> Figure | None:
    """The picture; None where there is nothing to show."""
    shown = panels(comparison)
    if not shown:
        return None
    from matplotlib.figure import Figure

    down = math.ceil(len(shown) / 2)
    across = min(2, len(shown))
    made = Figure(figsize=(6.2 * across, 4.1 * down + 0.7), facecolor=PAPER)
    made.set_layout_engine("constrained", hspace=0.06, wspace=0.05)
    axes = list(made.subplots(down, across, squeeze=False).flat)
    groups = drawing.numbers(comparison)
    for axis, one in zip(axes, shown, strict=False):
        draw(axis, one, groups, comparison.baseline)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    key(made, groups, comparison.baseline)
    if accepted := drawing.accepted(comparison):
        made.suptitle(accepted[0], fontsize=8.5, color=SOFT)
    drawing.settle(made)  # labels are placed on the finished layout
    for axis, one in zip(axes, shown, strict=False):
        drawing.place(axis, [(d.x.value, d.y.value) for d in one.dots], names(one, comparison.baseline))
    return made


def group(spot: Spot) -> str:
    return spot.run or spot.checkpoint


def draw(axis: Axes, panel: Panel, groups: dict[str, int], baseline: str) -> None:
    drawing.bare(axis)
    crowded = len(panel.dots) > CROWDED
    if panel.zero:
        axis.axhline(0, color=SOFT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    for name, number in groups.items():
        trail = [d for d in panel.dots if group(d.spot) == name and d.spot.step is not None and d.spot.checkpoint != baseline]
        trail.sort(key=lambda d: d.spot.step or 0)
        style: dict[str, Any] = {"color": drawing.colour(number), "linestyle": drawing.stroke(number)}
        style |= {"linewidth": 0.7, "alpha": 0.2} if crowded else {"linewidth": 1.3}
        axis.plot([d.x.value for d in trail], [d.y.value for d in trail], zorder=3, **style)
    alike: dict[tuple[str, bool], list[Dot]] = {}
    for dot in panel.dots:
        alike.setdefault((baseline if dot.spot.checkpoint == baseline else group(dot.spot), dot.front), []).append(dot)
    for (name, _), dots in alike.items():
        mark(axis, dots, (SOFT, "D") if name == baseline else look(groups[name]), crowded)
    axis.set_title(plain(panel.title), fontsize=10, loc="left", color=INK)
    axis.set_xlabel(plain(panel.across), fontsize=8.5, color=SOFT)
    axis.set_ylabel(plain(panel.up), fontsize=8.5, color=SOFT)
    axis.margins(0.09)
    border(axis, sorted((d.x.value, d.y.value) for d in panel.dots if d.front))


def look(number: int) -> tuple[str, str]:
    """A run's colour and marker."""
    return drawing.colour(number), MARKERS[number // len(drawing.RUNS) % len(MARKERS)]


def border(axis: Axes, edge: Sequence[tuple[float, float]]) -> None:
    """What is dominated lies below and left of it."""
    if not edge:
        return
    left, low = axis.get_xlim()[0], axis.get_ylim()[0]
    along = [(left, edge[0][1]), *edge, (edge[-1][0], low)]
    axis.step([x for x, _ in along], [y for _, y in along], where="pre", color=SOFT, linewidth=5, alpha=0.22, zorder=1)
    axis.set_xlim(left=left)
    axis.set_ylim(bottom=low)


def mark(axis: Axes, dots: Sequence[Dot], look: tuple[str, str], crowded: bool) -> None:
    """Checkpoints of one look (colour, marker) with their intervals; what is on the front is filled."""
    (colour, marker), front = look, dots[0].front
    x, y = [d.x.value for d in dots], [d.y.value for d in dots]
    thin: dict[str, Any] = {"color": colour, "linewidth": 0.9, "alpha": 0.45, "zorder": 2}
    if front or not crowded:
        axis.hlines(y, [d.x.low for d in dots], [d.x.high for d in dots], **thin)
        axis.vlines(x, [d.y.low for d in dots], [d.y.high for d in dots], **thin)
    face: dict[str, Any] = {"markeredgecolor": colour, "markerfacecolor": colour if front else PAPER}
    size, edge = (4.0, 1.0) if crowded and not front else (5.5, 1.4)
    axis.plot(x, y, linestyle="", marker=marker, markersize=size, markeredgewidth=edge, zorder=4, **face)


def names(panel: Panel, baseline: str) -> list[str]:
    """What is written beside each dot; in a crowd only beside the baseline, the front, or else the highest."""
    if len(panel.dots) <= CROWDED:
        return [label(d.spot, baseline) for d in panel.dots]
    some = [d for d in panel.dots if d.front] or sorted(panel.dots, key=lambda d: -d.y.value)[:HIGHEST]
    return [plain(d.spot.checkpoint) if d in some or d.spot.checkpoint == baseline else "" for d in panel.dots]


def label(spot: Spot, baseline: str) -> str:
    if spot.checkpoint == baseline or spot.step is None:
        return plain(spot.checkpoint)
    return str(spot.step)


def key(made: Figure, groups: dict[str, int], baseline: str) -> None:
    from matplotlib.lines import Line2D

    ring: dict[str, Any] = {"markerfacecolor": PAPER, "markeredgewidth": 1.4, "linewidth": 1.3}
    start = ring | {"marker": "D", "linewidth": 0.0}
    lines = [Line2D([], [], color=SOFT, label=plain(f"{baseline} (baseline)"), **start)]
    for name, number in list(groups.items())[:MOST]:
        colour, marker = look(number)
        lines.append(Line2D([], [], color=colour, linestyle=drawing.stroke(number), label=plain(name), marker=marker, **ring))
    legend = made.legend(handles=lines, loc="outside lower center", ncols=6, fontsize=8.5, frameon=False, handlelength=2.6)
    for text in legend.get_texts():
        text.set_color(INK)


def as_markdown(comparison: Comparison) -> str:
    """The same as a table, with what is unknown."""
    spots = tradeoff.spots(comparison)
    shown = listing(comparison, spots)
    lines = ["# What it was paid with", table.markdown_table(shown), "\n".join(f"- {text}" for text in foot(comparison, spots))]
    return "\n\n".join(lines) + "\n"


def listing(comparison: Comparison, spots: Sequence[Spot]) -> Table:
    columns = (
        "checkpoint",
        "average",
        "KL",
        "tokens an answer",
        "harmful refused, %",
        "harmless refused, %",
        "training FLOPs",
        "training seconds",
        "on the front of",
    )
    every = tradeoff.choices(comparison)
    rows = []
    for spot in spots:
        d = spot.average.difference if spot.average else None
        fronts = ", ".join(sorted((c.target for c in every if spot.checkpoint in c.front), key=text_tables.place))
        both = (
            [text_tables.number(m.value) for m in (spot.refusal.harmful, spot.refusal.harmless)] if spot.refusal else ["—", "—"]
        )
        tokens = (
            f"{text_tables.number(spot.length)} ({text_tables.number(spot.longer, signed=True)} %)"
            if not math.isnan(spot.length)
            else "—"
        )
        change = text_tables.change(d) if d else text_tables.number(spot.average.score if spot.average else None)
        kl, flops, seconds = ("—" if x is None else f"{x:.3g}" for x in (spot.kl, spot.flops, spot.seconds))
        rows.append((spot.checkpoint, change, kl, tokens, *both, flops, seconds, fronts or "—"))
    return Table("", columns, tuple(rows))


def foot(comparison: Comparison, spots: Sequence[Spot]) -> Iterator[str]:
    yield from map(table.escape, comparison.noticed)
    yield from (table.escape(f"Allowed difference: {text}") for text in comparison.allowed)
    yield "Average: the difference from the baseline in points; of the baseline itself, the score."
    yield (
        "On the front of a skill: no other checkpoint is at least as good both there and in the mean of the other skills, "
        "by the scores as seen."
    )
    if any(s.flops is not None or s.seconds is not None for s in spots):
        yield "Training: up to this checkpoint, as its trainer counted; PPO here with what its reward model cost."
    silent = sorted({group(s) for s in spots[1:] if s.kl is None})
    if silent:
        yield f"No KL was logged by {table.escape(', '.join(silent))}."
    if not any(s.refusal for s in spots):
        yield "No task here tells refusal in both directions (xstest does)."
