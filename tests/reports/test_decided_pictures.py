"""Pictures put the decision first: its checkpoint leads the forests and is bold in the heat map, with the rows of the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.colors import to_hex

from harness.comparison.compare import compare
from harness.comparison.decision import decide, order_by_decision
from harness.comparison.result import Comparison
from reports import delta_plot, heat_map
from reports.layout import drawing
from reports.layout.tradeoff_panels import fill_panels
from tests.support.results_folder import about, sample
from tests.support.results_folder import store as store_cell
from tests.support.training_runs import store

RATES = (0.5, 0.52, 0.9, 0.55, 0.4, 0.51, 0.6, 0.54)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Eight checkpoints of a run, of which the third is the best by far."""
    folder = tmp_path_factory.mktemp("decided")
    store(folder, "sft", {"coding": 0.5, "safety": 0.5})
    for i, rate in enumerate(RATES):
        store(folder, f"dpo@{i + 1}", {"coding": rate, "safety": 0.5}, "dpo", i + 1)
    return compare(folder, "sft")


@pytest.mark.slow
def test_the_forests_of_a_selection_stand_in_the_order_of_the_decision(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name in comparison.checkpoints if name != "sft"]
    panels = delta_plot.select_highest(names, comparison)
    assert panels == list(decide(comparison).order[: delta_plot.MAX_PANELS])
    assert panels[0] == "dpo@3"
    assert delta_plot.select_highest(names[:6], comparison) == names[:6], "where all fit, they stay as they are"


@pytest.mark.slow
def test_the_heat_map_has_the_rows_of_the_table_and_the_decisions_in_bold(comparison: Comparison) -> None:
    for each in (comparison, order_by_decision(comparison)):
        figure = heat_map.draw_figure(each)
        assert figure
        labels = figure.axes[0].get_yticklabels()
        assert [label.get_text() for label in labels] == [name for name in each.checkpoints if name != "sft"]
        assert [label.get_text() for label in labels if label.get_fontweight() == "bold"] == ["dpo@3"]


@pytest.mark.slow
def test_one_large_difference_does_not_pale_the_others_and_the_scale_says_that_it_is_beyond(comparison: Comparison) -> None:
    rows = [r for r in comparison.rows if r.difference and r.level != "task"]
    sizes = sorted(heat_map.sizes_of(rows))
    step = heat_map.colour_step(rows)
    assert sizes[-3] <= step * 5 < sizes[-1] == pytest.approx(40)
    figure = heat_map.draw_figure(comparison)
    assert figure
    scale = [t.get_text() for t in figure.axes[1].get_xticklabels()]
    assert scale == [f"≤ −{5 * step:g}", "0", f"≥ +{5 * step:g}"]
    marks = {t.get_position()[::-1] for t in figure.axes[0].texts if t.get_text()[:1] in "▲▼" and t.get_text()}
    cells = {(p.get_y() + 0.52, p.get_x() + 0.5): to_hex(p.get_facecolor()) for p in figure.axes[0].patches}  # type: ignore[attr-defined]
    assert marks
    assert drawing.PAPER not in {cells[place] for place in marks}, "what is decided has a colour"
    even = [replace(r, difference=replace(r.difference, delta=3.0)) for r in rows if r.difference]
    assert heat_map.colour_step(even) == 1.0
    assert heat_map.colour_of(40, step) == drawing.GAIN_COLOURS[-1]


def test_a_cost_that_is_the_same_for_all_has_no_panel(tmp_path: Path) -> None:
    for name, length in (("sft", 3), ("dpo", 3), ("ppo", 3)):
        lines = [sample(i, float(i % 2), text="word " * length) for i in range(60)]
        store_cell(tmp_path / "same", name, about("sums", "reasoning"), lines)
    assert "Gain by answer length" not in [panel.title for panel in fill_panels(compare(tmp_path / "same", "sft"))]


def test_numbers_are_as_dark_as_small_print_must_be() -> None:
    """WCAG 2.1 asks for a contrast of 4.5 with the paper."""
    for colour in (*delta_plot.VERDICT_COLOURS.values(), drawing.GREY):
        assert contrast(colour, drawing.PAPER) >= 4.5, colour


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.1 of two colours, #rrggbb."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
