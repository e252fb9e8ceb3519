"""Judged tasks in a comparison: measured errors of the judge widen intervals and decide verdicts; the foot says them."""

from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.comparison.judged_scores import average_sides
from harness.comparison.result import Comparison, Row
from harness.grading.stored_checks import rates_to_json
from harness.statistics.judge_error import ClassMean, ErrorRates
from tests.support.results_folder import about, sample, store

BEFORE, AFTER = [1.0] * 90 + [0.0] * 110, [1.0] * 130 + [0.0] * 70


def rates(right: int, wrong: int) -> ErrorRates:
    """Of a judge that is right so often, and wrong so often, on items of either truth."""
    grades = [1.0] * right + [0.0] * wrong
    return ErrorRates(ClassMean.of(grades), ClassMean.of([1.0 - g for g in grades]))


def compared(folder: Path, judge: str | None, errors: ErrorRates | None) -> Comparison:
    for name, scores in (("sft", BEFORE), ("dpo", AFTER)):
        facts: dict[str, Any] = about("talk", "safety", task={"judge": judge} if judge else {})
        if judge:
            facts["conditions"] = {"judge": {"questions": 200}}
        if errors:
            agreement = {"sft": 0.8, "dpo": 0.9}[name]
            facts["conditions"] = {"judge": {"orders_agree": agreement, "errors": {"set": "xstest", **rates_to_json(errors)}}}
        store(folder, name, facts, [sample(i, s) for i, s in enumerate(scores)])
    return compare(folder, "sft")


def row(comparison: Comparison, name: str = "dpo") -> Row:
    return next(r for r in comparison.rows if (r.checkpoint, r.name) == (name, "talk"))


def foot(comparison: Comparison) -> str:
    return "\n".join(comparison.caveats)


def test_a_good_judge_widens_the_interval_a_little_and_the_foot_corrects_the_scores(tmp_path: Path) -> None:
    plain = row(compared(tmp_path / "plain", None, None))
    comparison = compared(tmp_path / "judged", "llm:x@1", rates(360, 40))
    judged = row(comparison)
    assert (judged.score, judged.difference and judged.difference.delta) == (
        plain.score,
        plain.difference and plain.difference.delta,
    )
    assert judged.score_low <= plain.score_low
    assert judged.score_high > plain.score_high
    assert plain.difference
    assert judged.difference
    assert judged.difference.delta_high > plain.difference.delta_high * 1.1
    assert (plain.difference.verdict, judged.difference.verdict) == ("better", "better")
    # (0.65 - 0.1) / 0.8 = 68.75 %, and (0.45 - 0.1) / 0.8 = 43.75 %, but for the pseudo-items
    assert "talk was graded by llm:x@1: its mean grade of 800 labelled items (xstest) is 90 %" in foot(comparison)
    assert "corrected scores: sft 43.7, dpo 68.8.  Its two orders agree on 80 to 90 % of the answers." in foot(comparison)


def test_a_judge_that_guesses_decides_nothing(tmp_path: Path) -> None:
    comparison = compared(tmp_path, "llm:x@1", rates(51, 49))
    judged = row(comparison)
    assert judged.difference
    assert (judged.difference.delta_low, judged.difference.delta_high) == (-100, 100)
    assert judged.difference.verdict == "unclear"
    assert (judged.score_low, judged.score_high) == (0, 100)


def test_a_judge_that_nobody_measured_is_said(tmp_path: Path) -> None:
    comparison = compared(tmp_path / "a", "llm:x@1", None)
    assert "talk was graded by llm:x@1, whose errors were not measured" in foot(comparison)
    assert row(comparison).difference == row(compared(tmp_path / "b", None, None)).difference
    assert "graded by" not in foot(compared(tmp_path / "c", None, None))


def test_right_decisions_of_f1_err_as_much_as_the_judge_does() -> None:
    own = ErrorRates(ClassMean.of([1.0] * 900 + [0.0] * 100), ClassMean.of([1.0] * 3 + [0.0] * 5))
    both = average_sides(own)
    assert both.power == pytest.approx(own.power)
    assert both.hit.mean + both.miss.mean == pytest.approx(1)
    assert (both.hit.error**2 + both.miss.error**2) == pytest.approx(own.hit.error**2 + own.miss.error**2)


@pytest.mark.parametrize("errors", [3, {"hit": 1}, {"hit": {"n": 1, "mean": 9, "variance": 0}, "miss": {}}])
def test_damaged_rates_are_no_rates(errors: Any, tmp_path: Path) -> None:
    for name, scores in (("sft", BEFORE), ("dpo", AFTER)):
        facts = about("talk", "safety", task={"judge": "llm:x@1"}) | {"conditions": {"judge": {"errors": errors}}}
        store(tmp_path, name, facts, [sample(i, s) for i, s in enumerate(scores)])
    assert "whose errors were not measured" in foot(compare(tmp_path, "sft"))
