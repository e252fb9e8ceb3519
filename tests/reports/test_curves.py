"""Scores over training steps: a panel a skill, bands that are the comparison's intervals, the runs' own curves beneath."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection

from harness.comparison.compare import compare
from harness.comparison.result import Comparison
from reports import curves
from reports.layout import drawing
from tests.support.training_runs import curve, store

RISING = [0.1 * i for i in range(20)]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A PPO run of three checkpoints and its final model, a DPO run of two, one checkpoint alone."""
    folder = tmp_path_factory.mktemp("curves")
    store(folder, "sft", {"reasoning": 0.5, "safety": 0.6})
    log = {"reward": curve("objective/scores", RISING), "KL": curve("objective/kl", RISING)}
    for name, step, rate in (("ppo@1000", 1000, 0.8), ("ppo@90", 90, 0.6), ("ppo@200", 200, 0.3), ("ppo", None, 0.7)):
        store(folder, name, {"reasoning": rate, "safety": 0.6}, "ppo", step, log)
    margin = {"reward margin": curve("rewards/margins", RISING)}
    store(folder, "dpo@50", {"reasoning": 0.5, "safety": 0.4}, "dpo", 50, margin)
    store(folder, "dpo@100", {"reasoning": 0.5}, "dpo", 100, margin)
    store(folder, "one$1$@5", {"reasoning": 0.5, "safety": 0.6}, "one$1$", 5)
    return compare(folder, "sft")


def panels(comparison: Comparison) -> dict[str, Axes]:
    drawn = curves.draw_figure(comparison)
    assert drawn is not None
    return {axis.get_title(loc="left"): axis for axis in drawn.axes if axis.get_title(loc="left")}


def test_there_is_a_panel_for_the_average_and_each_skill_and_each_quantity_that_was_logged(comparison: Comparison) -> None:
    assert list(panels(comparison)) == ["average", "reasoning", "safety", "reward", "reward margin", "KL"]


def test_a_band_is_the_comparisons_interval_at_each_step_in_the_order_of_numbers(comparison: Comparison) -> None:
    axis = panels(comparison)["reasoning"]
    band = next(c for c in axis.collections if isinstance(c, FillBetweenPolyCollection) and 1000 in c.get_paths()[0].vertices)
    corners = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}
    for name, step in (("ppo@90", 90), ("ppo@200", 200), ("ppo@1000", 1000), ("ppo", 1000)):
        row = comparison.row(name, "skill", "reasoning")
        assert {(step, row.score_low), (step, row.score_high)} <= corners
    line = next(drawn for drawn in axis.lines if len(drawn.get_xdata()) == 4)
    assert list(np.asarray(line.get_xdata())) == [90, 200, 1000, 1000]
    assert np.asarray(line.get_ydata()) == pytest.approx([60, 30, 80, 70], abs=0.9)


def test_the_baseline_is_a_line_across_the_panel(comparison: Comparison) -> None:
    row = comparison.row("sft", "skill", "safety")
    across = [drawn for drawn in panels(comparison)["safety"].lines if list(np.asarray(drawn.get_ydata())) == [row.score] * 2]
    assert across


def test_a_checkpoint_without_a_score_there_leaves_a_gap_only_there(comparison: Comparison) -> None:
    mine = next(run for run in comparison.runs if run.name == "dpo")
    found = {level: curves.curve_points(mine, comparison.at(level)) for level in ("average", "skill")}
    assert [p.step for p in found["average"]] == [50]


def test_marks_are_the_verdicts(comparison: Comparison) -> None:
    marks = {
        (float(step), m.get_marker())
        for m in panels(comparison)["reasoning"].lines
        if m.get_marker() not in ("None", "")
        for step in np.asarray(m.get_xdata())
    }
    assert {(1000.0, "^"), (200.0, "v")} <= marks


@pytest.mark.slow
def test_what_is_not_drawn_is_told_and_no_name_is_taken_for_mathematics(comparison: Comparison, tmp_path: Path) -> None:
    png, svg = curves.render(comparison, tmp_path / "a")
    text = "".join(ET.parse(svg).getroot().itertext())
    assert "one checkpoint makes no curve: one$1$@5" in text
    assert "objective/kl" in text
    assert [p.read_bytes() for p in (png, svg)] == [p.read_bytes() for p in curves.render(comparison, tmp_path / "b")]


def test_at_night_every_ink_has_another_colour(comparison: Comparison) -> None:
    drawn = curves.draw_figure(comparison)
    assert drawn is not None
    day = drawing.render_svg(drawn)
    night = drawing.darken_svg(day)
    for light, dark in drawing.DARK_THEME.items():
        assert night.count(dark) == day.count(light)
        assert light not in night


def test_nothing_is_drawn_where_no_run_has_steps(tmp_path: Path) -> None:
    for name in ("sft", "dpo"):
        store(tmp_path / "results", name, {"reasoning": 0.5})
    assert curves.render(compare(tmp_path / "results", "sft"), tmp_path / "report") == []


def test_final_model_after_a_log_without_steps_has_no_place_and_a_log_of_one_row_is_visible(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    store(folder, "sft", {"reasoning": 0.5})
    store(folder, "other-final_model", {"reasoning": 0.6}, "other", None, {"KL": curve("kl", [0.05], every=0)})
    store(folder, "ppo@90", {"reasoning": 0.6}, "ppo", 90, {"KL": curve("objective/kl", [0.1])})
    comparison = compare(folder, "sft")
    assert next(r for r in comparison.runs if r.name == "other").steps == {"other-final_model": 0}
    notes = " ".join(curves.figure_notes(comparison, curves.select_runs(comparison)))
    assert "one checkpoint makes no curve: other-final_model." in notes
    drawn = panels(comparison)
    places = [x for line in drawn["reasoning"].lines if line.get_marker() not in ("", "None") for x in line.get_xdata()]
    assert places == [90]
    assert [line.get_marker() for line in drawn["KL"].lines] == ["."]
