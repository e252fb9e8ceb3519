"""What the plots share: inks that turn dark, colours that colour-blind readers tell apart, files of always the same bytes."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparison.result import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 160
SHOWN = 3  # accepted differences that a picture names
MOST_COVERED = 0.35  # of a name's own area, by other names and points
LETTER = 7.5  # points, of a name beside a dot
MARKERS = {"better": "^", "worse": "v", "same": "s", "unclear": "o"}
LEGEND = "▲ better    ▼ worse    ■ no difference beyond the margin    ● not decided by these data"
STROKES = ("-", (0, (5, 1.6)), (0, (1.4, 1.4)), (0, (6, 1.5, 1.3, 1.5)))  # a second way to tell runs apart


PAPER, INK, SOFT, LINE = "#ffffff", "#1b1f24", "#5d6670", "#e3e6ea"
RUNS = ("#0072b2", "#d55e00", "#009e73", "#b0568f", "#c98a00", "#4aa3df")  # after Okabe and Ito
NIGHT = dict(zip((PAPER, INK, SOFT, LINE, *RUNS), (
    "#15181c", "#e4e7eb", "#9aa4af", "#2c3239", "#5fb4ee", "#f0985a", "#35c79b", "#e39bc8", "#f0c24b", "#a9b8ff",
), strict=True))  # fmt: skip


def numbers(comparison: Comparison) -> dict[str, int]:
    """A number for each run, the same in every picture, for its colour; then for checkpoints that belong to none."""
    inside = {name for run in comparison.runs for name in run.steps}
    alone = [c for c in comparison.checkpoints if c not in inside and c != comparison.baseline]
    return {name: number for number, name in enumerate([*(r.name for r in comparison.runs), *alone])}


def colour(number: int) -> str:
    """The colour of the run with this number."""
    return RUNS[number % len(RUNS)]


def stroke(number: int) -> Any:
    """Its line style: another one for each round through the colours, and beside it."""
    return STROKES[(number + number // len(RUNS)) % len(STROKES)]


def bare(axis: Axes) -> None:
    """An axis with nothing but its left and lower edge and a faint grid."""
    axis.set_facecolor(PAPER)
    axis.tick_params(labelsize=8, colors=SOFT, length=0)
    axis.grid(color=LINE, linewidth=0.6)
    axis.set_axisbelow(True)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)


def plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


def ticks(axis: Axes) -> None:
    """Few, whole numbers of steps on the horizontal axis: 1500 is 1.5k."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v / 1000:g}k" if abs(v) >= 1000 else f"{v:g}"))


def once(make: Callable[[Comparison], Figure | None]) -> Callable[[Comparison], Figure | None]:
    """Draws a comparison's picture once for all that show it: a report's own files, and the page."""
    last: list[tuple[Comparison, Figure | None]] = []

    @wraps(make)
    def figure(comparison: Comparison) -> Figure | None:
        if not last or last[0][0] is not comparison:
            last[:] = [(comparison, make(comparison))]
        return last[0][1]

    return figure


def accepted(comparison: Comparison) -> list[str]:
    """What a picture must say where results that were not made alike are compared all the same."""
    names = [plain(text.split(":")[0]) for text in comparison.allowed]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"Not made alike, accepted: {'; '.join(names[:SHOWN])}{more}"] if names else []


@contextmanager
def steady(fonts: str) -> Iterator[None]:
    """Within it the same data give the same bytes.  `fonts`: "none" keeps text, "path" draws it, the same on every machine."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "skilldelta", "svg.fonttype": fonts}):
        yield


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """STEM.png and STEM.svg in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.png", folder / f"{stem}.svg"]
    settle(figure)
    with steady("none"):
        for path in paths:
            figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
    return paths


def settle(figure: Figure) -> None:
    """Works the layout out once: saving would do it again for each file."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")


def as_svg(figure: Figure) -> str:
    """The picture as one SVG, its letters drawn."""
    settle(figure)
    target = io.BytesIO()
    with steady("path"):
        figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue().decode()


def at_night(svg: str) -> str:
    """A picture of these colours, for a dark page."""
    return re.sub("|".join(NIGHT), lambda m: NIGHT[m.group()], svg)


def known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def place(axis: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Writes each name beside its point where it covers least: no other name, no point, nothing beyond the panel."""
    from matplotlib.patheffects import withStroke

    spots = [tuple(axis.transData.transform(p)) for p in points]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    panel = axis.get_window_extent()
    for at, (x, y), name in zip(points, spots, names, strict=True):
        if not name:
            continue
        size = LETTER * axis.figure.dpi / 72
        width, height = 0.62 * size * len(name), 1.1 * size
        options = [
            (x + dx * 7 - (1 - dx) / 2 * width, y + dy * 8 - height / 2) for dy in (0, 1, -1, 2, -2) for dx in (1, -1, 0)
        ]
        boxes = [(left, low, left + width, low + height) for left, low in options]
        inside = [b for b in boxes if panel.x0 <= b[0] and b[2] <= panel.x1 and panel.y0 <= b[1] and b[3] <= panel.y1]
        covered = {box: sum(shared(box, other) for other in taken) for box in inside or boxes}
        best = min(covered, key=lambda box: covered[box])
        if covered[best] > MOST_COVERED * width * height:
            continue  # its table has it: a name that cannot be read says less than none
        taken.append(best)
        offset = ((best[0] - x) * 72 / axis.figure.dpi, (best[1] - y + height * 0.2) * 72 / axis.figure.dpi)
        told = axis.annotate(name, at, offset, textcoords="offset points", fontsize=LETTER, color=INK, zorder=5)
        told.set_path_effects([withStroke(linewidth=2.2, foreground=PAPER)])


Box = tuple[float, float, float, float]  # left, low, right, high


def shared(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)
