"""Clean and dirty parts of the same results, compared apart."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.comparison.result import ComparisonSettings
from harness.types import SkilldeltaError, digest
from tests.support.results_folder import about, sample, store, store_scores

DIRTY = range(10)  # of 40 examples, those that the training data gave away


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A candidate that gains on what it has seen, in one of two tasks that hold the same examples."""
    for task, first in (("seen", 0), ("other", 100)):
        rows = [float(i % 2) for i in range(first, first + 40)]
        store_scores(tmp_path / "results", "sft", task, rows)
        store_scores(
            tmp_path / "results", "dpo", task, [1.0 if task == "seen" and i in DIRTY else r for i, r in enumerate(rows)]
        )
    return tmp_path / "results"


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A training run's folder that tells of the overlap."""
    contamination = {"rows.jsonl": {"rows": 40, "dirty": 10, "examples": [digest(i) for i in DIRTY]}}
    (tmp_path / "run.json").write_text(json.dumps({"audit": {"overlap": contamination}}))
    return str(tmp_path)


def delta(results: Path, **part: tuple[str, ...]) -> float:
    difference = compare(results, "sft", ComparisonSettings(**part)).row("dpo", "task", "seen").difference  # type: ignore[arg-type]
    assert difference is not None
    return difference.delta


def test_the_gain_is_all_in_the_dirty_part(results: Path, run: str) -> None:
    assert delta(results) == pytest.approx(12.5)
    assert delta(results, leave_out=(run,)) == pytest.approx(0.0)
    assert delta(results, only=(run,)) == pytest.approx(50.0)


def test_a_file_of_ids_does_as_well_and_the_comparison_says_what_counts(results: Path, run: str, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(digest(i) for i in DIRTY) + "\n")
    comparison = compare(results, "sft", ComparisonSettings(leave_out=(str(ids),)))
    assert comparison.row("dpo", "task", "seen").n == 30
    assert comparison.caveats[0] == "Only a part of the examples counts here: 60 of the baseline's 80 samples."


def test_a_task_that_nobody_looked_for_is_not_passed_off_as_clean(results: Path, tmp_path: Path) -> None:
    for who in ("sft", "dpo"):
        store(results, who, about("third", "third"), [sample(f"third {i}", float(i % 2)) for i in range(40)])
    seen_tasks = {"seen": {"rows": 40, "dirty": 10, "examples": [digest(i) for i in DIRTY]}}
    clean = {"third": {"rows": 40, "dirty": 0, "examples": []}}
    for overlap, ending in (
        (seen_tasks, "samples.  All of third counts: the training data were not searched for it by name."),
        (seen_tasks | clean, "100 of the baseline's 120 samples."),
    ):
        (tmp_path / "run.json").write_text(json.dumps({"audit": {"overlap": overlap}}))
        assert compare(results, "sft", ComparisonSettings(leave_out=(str(tmp_path),))).caveats[0].endswith(ending)


def test_a_run_that_looked_for_no_overlap_and_a_part_with_nothing_in_it_are_refused(results: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"audit": {"overlap": {}}}))
    with pytest.raises(SkilldeltaError, match="--overlap-with"):
        compare(results, "sft", ComparisonSettings(leave_out=(str(tmp_path),)))
    (tmp_path / "none.txt").write_text("0123456789abcdef\n")
    with pytest.raises(SkilldeltaError, match="None of the baseline's 80 samples"):
        compare(results, "sft", ComparisonSettings(only=(str(tmp_path / "none.txt"),)))


@pytest.mark.parametrize("audit", [[], "x", {"overlap": [1]}, {"overlap": {"a": 1}}, {"overlap": {"a": {"examples": 3}}}])
def test_a_damaged_audit_is_refused(audit: Any, results: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"audit": audit}))
    with pytest.raises(SkilldeltaError, match=r"no overlap|is damaged"):
        compare(results, "sft", ComparisonSettings(leave_out=(str(tmp_path),)))


def test_ids_that_are_no_text_are_refused(results: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfea\0b\0")
    with pytest.raises(SkilldeltaError, match=r"ids\.txt is no text"):
        compare(results, "sft", ComparisonSettings(only=(str(tmp_path / "ids.txt"),)))


def test_a_task_of_which_no_example_counts_is_missing_and_not_forgotten(results: Path, tmp_path: Path) -> None:
    for who in ("sft", "dpo"):
        store(results, who, about("tiny", "tiny"), [sample("tiny", 1.0)])
    (tmp_path / "ids.txt").write_text(digest("tiny") + "\n")
    comparison = compare(results, "sft", ComparisonSettings(leave_out=(str(tmp_path / "ids.txt"),)))
    assert {(a.checkpoint, a.task) for a in comparison.absent} == {("sft", "tiny"), ("dpo", "tiny")}
    assert "tiny" not in {r.name for r in comparison.rows}
    assert "sft, dpo on tiny have no samples (done: none of its examples counts here)." in comparison.incomplete
