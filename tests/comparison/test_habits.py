"""Tasks that measure a habit: shown with their differences, and in no mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison.compare import compare
from harness.mean_rules import HABIT
from tests.support.results_folder import store_scores
from tests.test_cli import skilldelta


def store_both(folder: Path, *, with_skill: bool) -> Path:
    for name, steps, right in (("base", 0.0, [1.0, 0.0]), ("tuned", 1.0, [1.0, 1.0])):
        store_scores(folder, name, "cot_rate", [steps] * 40, skill=HABIT)
        if with_skill:
            store_scores(folder, name, "gsm8k", right * 20, skill="reasoning")
    return folder


def test_a_habit_is_shown_and_moves_no_mean(tmp_path: Path) -> None:
    comparison = compare([store_both(tmp_path, with_skill=True)], "base")
    rows = {(row.level, row.name): row for row in comparison.rows if row.checkpoint == "tuned"}
    assert sorted(rows) == [("average", "average"), ("skill", "reasoning"), ("task", "cot_rate"), ("task", "gsm8k")]
    difference, average = rows["task", "cot_rate"].difference, rows["average", "average"].difference
    assert difference
    assert average
    assert (difference.delta, average.delta) == (pytest.approx(100), pytest.approx(50))
    assert any(note.startswith("cot_rate measures what a model does") for note in comparison.caveats)


def test_a_habit_alone_has_no_average(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = store_both(tmp_path / "results", with_skill=False)
    comparison = compare([folder], "base")
    assert {(row.level, row.name) for row in comparison.rows} == {("task", "cot_rate")}
    code, out, _ = skilldelta(capsys, "compare", folder, "--baseline", "base")
    assert code == 0
    assert "cot_rate" in out
    assert "Nothing is decided: tuned was scored on habits alone, which say what a model does and not how well." in out
