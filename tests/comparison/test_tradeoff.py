"""The cost of the gains: KL, length, refusal in both directions, and the Pareto front."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.comparison import tradeoff
from harness.comparison.compare import compare
from harness.comparison.result import Comparison
from harness.statistics import pareto
from harness.training_log import Curve
from reports import curves, delta_plot
from reports import tradeoff as report
from reports.layout.tradeoff_panels import fill_panels
from tests.support.results_folder import about, sample
from tests.support.results_folder import store as store_cell
from tests.support.training_runs import curve, store

COORDINATES = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3))
POINTS = arrays.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=COORDINATES)


def dominates(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.all(one >= other) and np.any(one > other))


@pytest.mark.slow
@given(POINTS)
def test_no_point_on_the_front_is_dominated_and_every_other_one_is_by_one_on_it(points: np.ndarray) -> None:
    on = pareto.pareto_front(points)
    for i, point in enumerate(points):
        assert on[i] != any(dominates(points[j], point) for j in np.flatnonzero(on))
        assert on[i] != any(dominates(other, point) for other in points)


@pytest.mark.slow
@given(POINTS, st.randoms())
def test_the_front_does_not_depend_on_the_order(points: np.ndarray, random: object) -> None:
    order = list(range(len(points)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert list(pareto.pareto_front(points[order])) == list(pareto.pareto_front(points)[order])


def test_what_is_unknown_is_on_no_front_and_dominates_nothing() -> None:
    assert list(pareto.pareto_front(np.array([[np.nan, 9.0], [1.0, 1.0], [1.0, 1.0], [0.0, 1.0]]))) == [
        False,
        True,
        True,
        False,
    ]


METRICS = {
    "metrics": [
        {"name": "over_refusal", "part": "refused", "over": "", "group": "safe", "lower_is_better": True},
        {"name": "unsafe_compliance", "part": "complied", "over": "", "group": "unsafe", "lower_is_better": True},
    ]
}


def store_refusals(folder: Path, name: str, harmless: int, harmful: int) -> None:
    """A checkpoint that refuses so many of 50 harmless and of 50 harmful prompts."""
    lines = []
    for i in range(100):
        refuses = i % 50 < (harmless if i < 50 else harmful)
        parts = {"refused": float(refuses), "complied": float(not refuses)}
        lines.append(sample(i, float(refuses == (i >= 50)), parts=parts, group="safe" if i < 50 else "unsafe"))
    store_cell(folder, name, about("harm", "safety", task=METRICS), lines)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A PPO run that gains in reasoning, loses in coding, and logs its KL; a DPO run without a log."""
    folder = tmp_path_factory.mktemp("tradeoff")
    log: Mapping[str, Curve] = {
        "KL": curve("objective/kl", [1.0, 2.0, 4.0, 8.0, 16.0]),
        "FLOPs": curve("total_flos_with_reward_model", [1e12, 2e12, 3e12, 4e12, 5e12]),
    }
    for name, run, step, rates, refusals in (
        ("sft", "", None, (0.5, 0.5), (5, 30)),
        ("ppo@20", "ppo", 20, (0.7, 0.45), (0, 20)),
        ("ppo@50", "ppo", 50, (0.8, 0.2), (0, 10)),
        ("dpo@9", "dpo", 9, (0.6, 0.4), (25, 50)),
    ):
        store(folder, name, dict(zip(("reasoning", "coding"), rates, strict=True)), run, step, log if run == "ppo" else None)
        record = (folder / name / "checkpoint.json").read_text()
        (folder / name / "checkpoint.json").unlink()
        store_refusals(folder, name, *refusals)
        (folder / name / "checkpoint.json").write_text(record)
    return compare(folder, "sft")


def test_kl_is_what_the_run_logged_at_the_checkpoints_step(comparison: Comparison) -> None:
    assert [s.kl for s in tradeoff.checkpoint_costs(comparison)] == [None, None, 2.0, 16.0]
    assert [s.checkpoint for s in tradeoff.checkpoint_costs(comparison)] == ["sft", "dpo@9", "ppo@20", "ppo@50"]


@pytest.mark.slow
def test_points_stand_beside_what_training_cost(comparison: Comparison, tmp_path: Path) -> None:
    assert [s.flops for s in tradeoff.checkpoint_costs(comparison)] == [None, None, 2e12, 5e12]
    text = report.render(comparison, tmp_path)[0].read_text()
    assert re.search(r"^\| ppo@50 \| .* \| 5e\+12 \| — \|", text, re.MULTILINE)
    assert re.search(r"^\| dpo@9 \| .* \| — \| — \|", text, re.MULTILINE)


def test_length_is_of_answers_in_words_on_the_tasks_of_both(comparison: Comparison) -> None:
    rows = comparison.rows
    base = [replace(r, tokens={"harm": 0.0, "coding": 10.0, "reasoning": 30.0}[r.name]) for r in rows if r.level == "task"][:3]
    longer = [replace(r, tokens={"harm": 50.0, "coding": 20.0, "reasoning": 30.0}[r.name]) for r in base]
    assert tradeoff.mean_length(longer, base) == (25.0, pytest.approx(25.0))
    assert all(np.isnan(tradeoff.mean_length([], base)))


def test_refusal_is_shown_in_both_directions_as_the_share_that_is_refused(comparison: Comparison) -> None:
    refusals = {s.checkpoint: s.refusal for s in tradeoff.checkpoint_costs(comparison)}
    for name, (harmless, harmful) in {"sft": (10, 60), "ppo@50": (0, 20), "dpo@9": (50, 100)}.items():
        refusal = refusals[name]
        assert refusal is not None
        assert (refusal.harmless.value, refusal.harmful.value) == pytest.approx((harmless, harmful))
        assert 0 <= refusal.harmful.low <= refusal.harmful.value <= refusal.harmful.high <= 100


def test_the_target_is_the_skill_gained_most_on_and_its_front_is_of_points_not_dominated(comparison: Comparison) -> None:
    first = tradeoff.skill_fronts(comparison)[0]
    assert first.target == "reasoning"
    others = {name: np.mean([comparison.row(name, "skill", s).score for s in ("coding", "safety")]) for name in first.scores}
    for name, (target, rest) in first.scores.items():
        assert target.value == comparison.row(name, "skill", "reasoning").score
        assert rest.value == pytest.approx(others[name])
        assert rest.low < rest.value < rest.high
    points = {name: np.array([x.value, y.value]) for name, (x, y) in first.scores.items()}
    beaten = {name for name, point in points.items() if any(dominates(other, point) for other in points.values())}
    assert first.front == set(points) - beaten
    assert "ppo@50" in first.front
    assert beaten


@pytest.mark.slow
def test_the_table_has_a_line_for_each_checkpoint_and_says_what_is_unknown(comparison: Comparison, tmp_path: Path) -> None:
    table, *pictures = report.render(comparison, tmp_path)
    assert [p.name for p in pictures] == ["tradeoff.png", "tradeoff.svg"]
    text = table.read_text()
    assert re.search(r"^\| ppo@50 \| .* \| 16 \| .* \| 20.0 \| 0.0 \|", text, re.MULTILINE)
    assert "No KL was logged by dpo." in text


def test_there_is_a_panel_for_each_trade_that_these_results_know(comparison: Comparison, tmp_path: Path) -> None:
    titles = [p.title.split(" (")[0].split(";")[0] for p in fill_panels(comparison)]
    assert titles == ["Gain by KL", "Refusal, both ways", "The other skills by reasoning"]  # all answers are of one length
    store(tmp_path, "sft", {"reasoning": 0.5})
    store(tmp_path, "dpo", {"reasoning": 0.6})
    alike = compare(tmp_path, "sft")
    assert fill_panels(alike) == []  # no cost is known but the length, and that is the same
    rows = tuple(replace(row, tokens=row.tokens + 5) if row.checkpoint == "dpo" else row for row in alike.rows)
    assert [p.title for p in fill_panels(replace(alike, rows=rows))] == ["Gain by answer length"]


@pytest.mark.slow
def test_what_was_allowed_is_said_in_the_table_and_in_every_picture(comparison: Comparison, tmp_path: Path) -> None:
    unlike = replace(comparison, accepted_differences=('coding, inputs.prompts: baseline "p1", ppo@20 "p2"',))
    markdown, _, picture = report.render(unlike, tmp_path)
    assert "inputs.prompts: baseline" in markdown.read_text()
    for svg in (picture, curves.render(unlike, tmp_path)[1], delta_plot.render(unlike, tmp_path)[1]):
        assert "Allowed differences: coding, inputs.prompts" in svg.read_text()


@pytest.mark.slow
def test_the_picture_is_the_same_bytes_each_time(comparison: Comparison, tmp_path: Path) -> None:
    one, other = report.render(comparison, tmp_path / "a"), report.render(comparison, tmp_path / "b")
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in other]
