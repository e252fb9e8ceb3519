"""Judged tasks in a comparison: measured errors of the judge widen intervals and decide verdicts; the foot says them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.comparison.alignment import TaskDifference
from harness.comparison.candidate_standing import describe_standing, required_items
from harness.comparison.compare import compare
from harness.comparison.explain import explain_cell
from harness.comparison.judged_scores import average_sides, widen_difference
from harness.comparison.result import Comparison, ComparisonSettings, Row
from harness.grading.criteria import BETTER, COMPLIANCE, NOT
from harness.grading.stored_checks import rates_to_json, store_check
from harness.records import CellRecord
from harness.statistics.aggregates import Design
from harness.statistics.judge_error import ClassMean, ErrorRates
from harness.statistics.paired import paired_difference
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


@pytest.mark.parametrize(("right", "wrong", "factor"), [(36_000, 4_000, 1 / 0.8), (30_000, 10_000, 2.0), (39_999, 1, 1.0)])
def test_a_detectable_difference_grows_by_what_the_judge_misses(right: int, wrong: int, factor: float, tmp_path: Path) -> None:
    plain = row(compared(tmp_path / "plain", None, None)).difference
    judged = row(compared(tmp_path / "judged", "llm:x@1", rates(right, wrong))).difference
    assert plain
    assert judged
    assert judged.mde == pytest.approx(factor * plain.mde, rel=0.03)


def test_no_difference_is_detectable_by_a_judge_that_guesses(tmp_path: Path) -> None:
    judged = row(compared(tmp_path, "llm:x@1", rates(51, 49)))
    assert judged.difference
    assert judged.difference.mde == 100


def lead_of_grades(folder: Path, judge: str | None, errors: ErrorRates | None, second: str = "") -> int | None:
    """How many items would show that 100 of 200 grades of 1 are more than 92; `second`: a further task, scored by rules."""
    for name, scores in (("sft", [1.0] * 92 + [0.0] * 108), ("dpo", [1.0] * 84 + [0.0] * 8 + [1.0] * 16 + [0.0] * 92)):
        facts: dict[str, Any] = about("talk", "safety", task={"judge": judge} if judge else {})
        if errors:
            facts["conditions"] = {"judge": {"errors": {"set": "xstest", **rates_to_json(errors)}}}
        store(folder, name, facts, [sample(i, s) for i, s in enumerate(scores)])
        if second:
            store(folder, name, about(second, "safety"), [sample(f"{second} {i}", s) for i, s in enumerate(scores)])
    comparison = compare(folder, "sft")
    return required_items(comparison, describe_standing(comparison, "dpo"), 1)


def test_a_lead_of_grades_takes_the_items_that_show_it_among_grades(tmp_path: Path) -> None:
    """Not those that the smaller lead of an unerring judge would take: a lead by grades is smaller than the true one."""
    plain = lead_of_grades(tmp_path / "plain", None, None)
    assert plain is not None
    assert plain > 400
    assert lead_of_grades(tmp_path / "judged", "llm:x@1", rates(300, 100)) == plain
    of_two = lead_of_grades(tmp_path / "two", None, None, "rules")
    assert of_two is not None
    assert lead_of_grades(tmp_path / "both", "llm:x@1", rates(300, 100), "rules") == pytest.approx(of_two, rel=0.01)


def test_no_number_of_items_shows_a_lead_by_a_judge_that_may_be_guessing(tmp_path: Path) -> None:
    assert lead_of_grades(tmp_path / "a", "llm:x@1", rates(12, 8)) is None
    assert lead_of_grades(tmp_path / "b", "llm:x@1", rates(12, 8), "rules") is None


@pytest.mark.slow
def test_the_detectable_difference_of_a_judged_task_is_detected_4_times_in_5() -> None:
    """Pairs of truths that differ by it, graded by a judge whose rates 400 labels on either side have told."""
    random, n, hit, miss, trials = np.random.default_rng(3), 400, 0.85, 0.25, 300
    measured = ErrorRates(*(ClassMean.of((random.random(400) < p).astype(float).tolist()) for p in (hit, miss)))
    design = Design(np.arange(n), np.zeros(n, np.int64))

    def graded_pair(gain: float) -> TaskDifference:
        before = random.random(n) < 0.4
        after = before | (random.random(n) < gain / 0.6)
        grades = [np.where(truth, random.random(n) < hit, random.random(n) < miss).astype(float) for truth in (before, after)]
        delta = paired_difference(grades[0], grades[1], design)
        return TaskDifference(delta, delta.contributions, 0)

    facts = about("talk", "safety", task={"judge": "llm:x@1"})
    errors = {"set": "xstest", **rates_to_json(measured)}
    record = CellRecord.from_json(facts | {"conditions": {"judge": {"errors": errors}}})
    gain = float(np.mean([widen_difference(graded_pair(0.15), record, 0.95).detectable(0.95) for _ in range(20)]))
    shown = 0
    for _ in range(trials):
        delta = widen_difference(graded_pair(gain), record, 0.95).delta
        shown += delta.interval.low > 0 and delta.quick_p() <= 0.05
    assert 0.72 <= shown / trials <= 0.88


def test_explain_says_what_the_judge_adds_to_the_numbers_of_the_table(tmp_path: Path) -> None:
    comparison = compared(tmp_path, "llm:x@1", rates(360, 40))
    explanation = explain_cell(tmp_path, ("sft", "dpo", "talk"), ComparisonSettings())
    steps = {step.name: step for step in explanation.steps}
    difference = row(comparison).difference
    assert difference
    detectable = steps["detectable difference"]
    assert detectable.value == difference.mde
    assert "times 1.2" in detectable.formula
    assert "m1 = 0.8980 of 400 items" in steps["score of dpo"].formula
    assert "the judge's measured errors" in steps["difference"].method
    assert (steps["difference"].low, steps["difference"].high) == (difference.delta_low, difference.delta_high)


def store_graded(folder: Path, name: str, scores: list[float], task: str, work: dict[str, Any], **more: Any) -> None:
    facts = about(task, "safety", task={"judge": "llm:x@1"}) | {"conditions": {"judge": work}} | more
    store(folder, name, facts, [sample(i, s) for i, s in enumerate(scores)])


def test_a_baseline_that_was_graded_before_the_check_has_the_errors_of_the_others(tmp_path: Path) -> None:
    errors = {"set": "xstest", **rates_to_json(rates(360, 40))}
    for folder, of_baseline in (("later", {"questions": 200}), ("both", {"errors": errors})):
        store_graded(tmp_path / folder, "sft", BEFORE, "talk", of_baseline)
        store_graded(tmp_path / folder, "dpo", AFTER, "talk", {"errors": errors})
    later, both = (compare(tmp_path / folder, "sft") for folder in ("later", "both"))
    assert later.rows == both.rows
    assert foot(later) == foot(both)


@pytest.mark.parametrize(
    ("task", "work", "more", "criterion"),
    [
        ("alpaca_eval", {}, {}, BETTER),
        ("strong_reject_judged", {"questions": 3}, {}, NOT + COMPLIANCE),
        ("somebodys_own", {"criterion": COMPLIANCE}, {}, COMPLIANCE),
        ("gsm8k_preferred", {}, {"imported": {"task": "gsm8k", "metric": "preferred to sft"}}, BETTER),
    ],
)
def test_results_that_were_graded_before_the_check_have_its_errors_now(
    task: str, work: dict[str, Any], more: dict[str, Any], criterion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLDELTA_JUDGE_CACHE", str(tmp_path / "cache"))
    for name, scores in (("sft", BEFORE), ("dpo", AFTER)):
        store_graded(tmp_path / "r", name, scores, task, work, **more)
    assert "whose errors were not measured" in foot(compare(tmp_path / "r", "sft"))
    other = {BETTER, COMPLIANCE} - {criterion.removeprefix(NOT)}
    store_check("llm:x@1", dict.fromkeys(other, ("another", rates(90, 10))))
    assert "whose errors were not measured" in foot(compare(tmp_path / "r", "sft"))
    store_check("llm:x@1", {criterion.removeprefix(NOT): ("labels", rates(360, 40))})
    comparison = compare(tmp_path / "r", "sft")
    assert "its mean grade of 800 labelled items (labels) is 90 %" in foot(comparison)
    (before, after) = (next(r for r in comparison.rows if r.checkpoint == name) for name in ("sft", "dpo"))
    assert before.score_high - before.score_low > 15, "the baseline's own interval, too"
    assert after.difference
    assert after.difference.delta_high > 1.2 * after.difference.delta


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
