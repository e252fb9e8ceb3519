"""Drawing that the plots share: colours for light and dark pages and for colour-blind readers, labels, reproducible files."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.layout.labels import text_width, use_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.comparison.result import Comparison

DPI = 160
MAX_ALLOWED_NAMES = 3  # allowed differences that a picture names
MAX_LABEL_OVERLAP = 0.35  # of a label's own area, by other labels and points
LABEL_SIZE = 7.5  # points
VERDICT_MARKERS = {"better": "^", "worse": "v", "same": "s", "unclear": "o"}
VERDICT_LEGEND = "▲ better    ▼ worse    ■ no difference beyond the margin    ● inconclusive"
LINE_STYLES = ("-", (0, (5, 1.6)), (0, (1.4, 1.4)), (0, (6, 1.5, 1.3, 1.5)))  # runs differ without any colour, too
DASHES = (0, (4, 3))  # the baseline's line

PAPER, INK, GREY, PALE_GREY = "#ffffff", "#1b1f24", "#5d6670", "#e3e6ea"
RUN_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b0568f", "#c98a00", "#4aa3df")  # after Okabe and Ito
GAIN_COLOURS = ("#ddebf6", "#bcd8ee", "#96c2e4", "#6faad8", "#4c94cc")  # differences of one to five steps
LOSS_COLOURS = ("#fbe6d8", "#f7cdb0", "#f2b188", "#ec9560", "#e57b3c")
DARK_THEME = dict(zip((PAPER, INK, GREY, PALE_GREY, *RUN_COLOURS, *GAIN_COLOURS, *LOSS_COLOURS), (
    "#15181c", "#e4e7eb", "#9aa4af", "#2c3239", "#5fb4ee", "#f0985a", "#35c79b", "#e39bc8", "#f0c24b", "#a9b8ff",
    "#18293a", "#1b3a56", "#1e4b72", "#215d8f", "#2470ac", "#33241a", "#4d301d", "#673c20", "#824923", "#9d5626",
), strict=True))  # fmt: skip
Box = tuple[float, float, float, float]  # left, low, right, high, in pixels


def number_runs(comparison: Comparison) -> dict[str, int]:
    """A number for each run, the same in every picture, for its colour; then for each checkpoint that belongs to none."""
    of_runs = {name for run in comparison.runs for name in run.steps}
    single = [c for c in comparison.checkpoints if c not in of_runs and c != comparison.baseline]
    return {name: number for number, name in enumerate([*(r.name for r in comparison.runs), *single])}


def run_colour(number: int) -> str:
    """The colour of the run with this number."""
    return RUN_COLOURS[number % len(RUN_COLOURS)]


def run_line_style(number: int) -> Any:
    """The line style of the run with this number: runs of the same colour differ in it, and neighbours do."""
    return LINE_STYLES[(number + number // len(RUN_COLOURS)) % len(LINE_STYLES)]


def style_axis(axis: Axes) -> None:
    """Leaves an axis its left and lower edge and a faint grid."""
    axis.set_facecolor(PAPER)
    axis.tick_params(labelsize=8, colors=GREY, length=0)
    axis.grid(color=PALE_GREY, linewidth=0.6)
    axis.set_axisbelow(True)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(PALE_GREY)


def format_step_axis(axis: Axes) -> None:
    """Few, whole numbers of steps on the horizontal axis: 1500 is 1.5k."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v / 1000:g}k" if abs(v) >= 1000 else f"{v:g}"))


def cache_figure(draw: Callable[[Comparison], Figure | None]) -> Callable[[Comparison], Figure | None]:
    """Keeps the figure of the last comparison: a report's own files and the page show the same one."""
    cache: list[tuple[Comparison, Figure | None]] = []

    @wraps(draw)
    def draw_once(comparison: Comparison) -> Figure | None:
        if not cache or cache[0][0] is not comparison:
            cache[:] = [(comparison, draw(comparison))]
        return cache[0][1]

    return draw_once


def allowed_differences(comparison: Comparison) -> list[str]:
    """The sentence that a picture must carry where the results were not made alike, and the user allowed it."""
    names = [text.split(":")[0] for text in comparison.accepted_differences]
    more = f" and {len(names) - MAX_ALLOWED_NAMES} more" if len(names) > MAX_ALLOWED_NAMES else ""
    return [f"Allowed differences: {'; '.join(names[:MAX_ALLOWED_NAMES])}{more}"] if names else []


@contextmanager
def reproducible_svg(fonts: str) -> Iterator[None]:
    """Within it the same data give the same bytes.  `fonts`: "none" keeps text, "path" draws it, the same on every machine."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "skilldelta", "svg.fonttype": fonts}):
        yield


def save_figure(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Writes STEM.png and STEM.svg into a folder; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.png", folder / f"{stem}.svg"]
    fix_layout(figure)
    with reproducible_svg("none"):
        for path in paths:
            figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
    return paths


def fix_layout(figure: Figure) -> None:
    """Computes the layout once: saving would do it again for each file."""
    use_fonts(figure)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")


def render_svg(figure: Figure) -> str:
    """The picture as one SVG, its letters drawn."""
    fix_layout(figure)
    target = io.BytesIO()
    with reproducible_svg("path"):
        figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue().decode()


def darken_svg(svg: str) -> str:
    """The same picture for a dark page: every colour of the light theme is replaced."""
    return re.sub("|".join(DARK_THEME), lambda match: DARK_THEME[match.group()], svg)


def is_number(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def label_points(axis: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
    """Writes each label next to its point (data coordinates), where it covers least of other labels and points.

    One that finds no place inside the panel, or would cover too much, is left out.
    """
    from matplotlib.patheffects import withStroke

    pixels = [tuple(axis.transData.transform(p)) for p in points]
    obstacles: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in pixels]
    panel = axis.get_window_extent()
    for point, (x, y), label in zip(points, pixels, labels, strict=True):
        if not label:
            continue
        size = LABEL_SIZE * axis.figure.dpi / 72
        width, height = text_width(label, LABEL_SIZE) * axis.figure.dpi + 2, 1.25 * size
        corners = [
            (x + dx * 7 - (1 - dx) / 2 * width, y + dy * 8 - height / 2) for dy in (0, 1, -1, 2, -2) for dx in (1, -1, 0)
        ]
        boxes: list[Box] = [(left, low, left + width, low + height) for left, low in corners]
        inside = [b for b in boxes if panel.x0 <= b[0] and b[2] <= panel.x1 and panel.y0 <= b[1] and b[3] <= panel.y1]
        if not inside:
            continue
        overlaps = {box: sum(overlap_area(box, obstacle) for obstacle in obstacles) for box in inside}
        best = min(overlaps, key=lambda box: overlaps[box])
        if overlaps[best] > MAX_LABEL_OVERLAP * width * height:
            continue  # an unreadable label is worse than none, and the table has the name
        obstacles.append(best)
        offset = ((best[0] - x) * 72 / axis.figure.dpi, (best[1] - y + height * 0.2) * 72 / axis.figure.dpi)
        text = axis.annotate(label, point, offset, textcoords="offset points", fontsize=LABEL_SIZE, color=INK, zorder=5)
        text.set_path_effects([withStroke(linewidth=2.2, foreground=PAPER)])


def overlap_area(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)
