"""Pictures of 1 to 100 checkpoints with long names: nothing leaves the picture, no title meets another, letters are drawn."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from harness.comparison.compare import compare
from harness.comparison.result import Comparison
from harness.types import SKILLS
from reports import curves, delta_plot, heat_map, tradeoff
from reports.layout import drawing, labels
from tests.support.training_runs import curve, store

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

Box = tuple[float, float, float, float]  # left, low, right, high, in pixels
LONG = "meta-llama-3.1-8b-tulu-3-dpo-ultrafeedback-lr5e-7-beta0.1-ep3"
assert len(LONG) > 60


def make(folder: Path, k: int, name: str, runs: int = 2, skills: tuple[str, ...] = SKILLS) -> Comparison:
    """k checkpoints of some runs, each run with a log, and a baseline whose name is as long."""
    rng = np.random.default_rng(k)
    store(folder, f"{name}-sft", dict.fromkeys(skills, 0.5))
    for i in range(k):
        run, step = f"{name}-{i % runs}", 100 * (i // runs + 1)
        rates = {skill: float(rng.uniform(0.2, 0.8)) for skill in skills}
        log = {"reward": curve("objective/scores/" * 4, [0.1 * j for j in range(12)])} if i < runs else None
        store(folder, f"{run}@{step}", rates, run, step, log)
    return compare(folder, f"{name}-sft")


def drawn_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Text, Box]]:
    """Every text that drawing the picture draws, with its extent in pixels: ticks beyond an axis exist, but are not drawn."""
    from matplotlib.text import Text

    drawn: list[Text] = []
    draw = Text.draw
    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", lambda text, *rest, **options: (drawn.append(text), draw(text, *rest, **options))[1])
        figure.draw_without_rendering()
    shown = [t for t in dict.fromkeys(drawn) if t.get_visible() and t.get_text().strip()]
    return [(t, tuple(map(float, t.get_window_extent().extents))) for t in shown]  # type: ignore[misc]


def check(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text lies inside the picture; titles, labels of axes, sentences and entries of legends do not overlap."""
    texts = drawn_texts(figure, monkeypatch)
    assert texts
    width, height = figure.bbox.width, figure.bbox.height
    for text, (left, low, right, high) in texts:
        assert left >= -1, text
        assert low >= -1, text
        assert right <= width + 1, text
        assert high <= height + 1, text
    numbers = {t for axes in figure.axes for t in axes.texts}  # a number or a label next to its point may touch others
    fixed = [(t, box) for t, box in texts if t not in numbers]
    for (a, one), (b, other) in itertools.combinations(fixed, 2):
        shared_width, shared_height = (
            min(one[2], other[2]) - max(one[0], other[0]),
            min(one[3], other[3]) - max(one[1], other[1]),
        )
        assert not (shared_width > 1 and shared_height > 2), (a, b)


def draw_deltas(comparison: Comparison, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The forest, which its report saves and does not return."""
    figures: list[Figure] = []
    save = drawing.save_figure
    monkeypatch.setattr(drawing, "save_figure", lambda figure, *rest: (figures.append(figure), save(figure, *rest))[1])
    delta_plot.render(comparison, folder)
    return figures[0]


@pytest.mark.slow
@pytest.mark.parametrize(("k", "runs", "name"), [(1, 1, "dpo"), (3, 3, LONG), (8, 2, LONG), (31, 7, LONG), (100, 30, LONG)])
def test_every_text_lies_in_the_picture_and_none_overlap(
    k: int, runs: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = make(tmp_path / "results", k, name, runs)
    figures = [report.draw_figure(comparison) for report in (heat_map, curves, tradeoff)]
    assert (figures[0] is not None) == (k > 6)
    for figure in (*figures, draw_deltas(comparison, tmp_path / "out", monkeypatch)):
        if figure:
            drawing.fix_layout(figure)
            check(figure, monkeypatch)


@pytest.mark.slow
def test_long_names_of_tasks_and_skills_fit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skills = tuple(f"{LONG}/{i}" for i in range(4))
    comparison = make(tmp_path / "results", 7, "dpo", skills=skills)
    for figure in (heat_map.draw_figure(comparison), draw_deltas(comparison, tmp_path / "out", monkeypatch)):
        assert figure
        drawing.fix_layout(figure)
        check(figure, monkeypatch)


@pytest.mark.slow
def test_the_heat_map_has_a_row_a_checkpoint_by_step_and_marks_what_is_decided(tmp_path: Path) -> None:
    comparison = make(tmp_path, 24, "dpo", runs=2, skills=("coding", "safety"))
    figure = heat_map.draw_figure(comparison)
    assert figure
    axis = figure.axes[0]
    names = [t.get_text() for t in axis.get_yticklabels()]
    assert names == [f"dpo-{run}@{100 * step}" for run in (0, 1) for step in range(1, 13)]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["average", "coding", "safety"]
    shown = [t.get_text() for t in axis.texts]
    expected = []
    for name in names:
        for level, column in (("average", "average"), ("skill", "coding"), ("skill", "safety")):
            d = comparison.row(name, level, column).difference  # type: ignore[arg-type]
            assert d
            expected.append({"better": "▲ +", "worse": "▼ −"}.get(d.verdict, ""))
    assert [text[:3] for text in shown] == expected
    assert "" in expected
    assert {"▲ +", "▼ −"} <= set(expected)


@pytest.mark.parametrize("size", [0.05, 3.0, 17.0, 90.0])
def test_colours_say_the_sign_and_grow_with_the_difference(size: float) -> None:
    step = next(s for s in heat_map.STEPS if 5 * s >= min(size, 100))
    gains = [heat_map.colour_of(x, step) for x in np.linspace(0, size, 30)]
    losses = [heat_map.colour_of(-x, step) for x in np.linspace(0, size, 30)]
    order = [drawing.PAPER, *drawing.GAIN_COLOURS]
    assert [order.index(c) for c in gains] == sorted(order.index(c) for c in gains)
    assert not set(gains[1:]) & set(drawing.LOSS_COLOURS)
    assert not set(losses[1:]) & set(drawing.GAIN_COLOURS)
    assert len(set(drawing.DARK_THEME.values())) == len(drawing.DARK_THEME), "the dark theme keeps colours apart"


def test_a_label_keeps_its_end_and_never_grows_wider(tmp_path: Path) -> None:
    for inches, lines in itertools.product((0.8, 2.0, 4.0), (1, 2)):
        fitted = labels.fit_label(f"{LONG}@1200", inches, 9, lines)
        assert fitted.count("\n") < lines
        assert all(labels.text_width(line, 9) <= inches for line in fitted.split("\n"))
        assert fitted.replace("\n", "").endswith("200")
    assert labels.fit_label("sft", 2, 9) == "sft"
    assert labels.fit_label("$x$", 2, 9) == r"\$x\$"


@pytest.mark.slow
def test_letters_without_a_font_are_code_points_and_nothing_warns(tmp_path: Path) -> None:
    private = "\U0010fffd"  # no font has it
    name = f"org/{private}-sft"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison = make(tmp_path / "results", 1, name, runs=1)
        for report in (delta_plot, curves, tradeoff):
            report.render(comparison, tmp_path / "out")
    assert "U+10FFFD" in (tmp_path / "out" / "deltas.svg").read_text()
    assert labels.drawable_text(name) == "org/U+10FFFD-sft"


def test_a_font_of_the_machine_draws_what_the_default_one_lacks(tmp_path: Path) -> None:
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    font_manager.fontManager.addfont(make_font(tmp_path / "square.ttf", "\U000f1234"))
    labels.find_family.cache_clear()
    try:
        assert labels.drawable_text("a\U000f1234") == "a\U000f1234"
        figure = Figure()
        text = figure.text(0.5, 0.5, "a\U000f1234")
        labels.use_fonts(figure)
        assert text.get_fontfamily() == [labels.DEFAULT_FAMILY, "Square Test"]
    finally:
        font_manager.fontManager.ttflist[:] = [f for f in font_manager.fontManager.ttflist if f.name != "Square Test"]
        labels.find_family.cache_clear()


def test_a_font_that_was_installed_after_matplotlib_looked_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import font_manager

    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    paths = [make_font(tmp_path / "late.ttf", "\U000f1235"), str(broken)]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: paths)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    for cache in (labels.find_family, labels.add_fonts):
        cache.cache_clear()
    try:
        assert labels.drawable_text("a\U000f1235") == "a\U000f1235"
        assert labels.drawable_text("a\U000f1236") == "aU+F1236"
    finally:
        for cache in (labels.find_family, labels.add_fonts):
            cache.cache_clear()


def make_font(path: Path, letter: str) -> str:
    """A font with one letter, a square."""
    pen = TTGlyphPen(None)
    for move, point in ((pen.moveTo, (0, 0)), (pen.lineTo, (0, 700)), (pen.lineTo, (700, 700)), (pen.lineTo, (700, 0))):
        move(point)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square"})
    builder.setupGlyf({".notdef": square, "square": square})
    builder.setupHorizontalMetrics({".notdef": (800, 0), "square": (800, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Square Test", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return str(path)
