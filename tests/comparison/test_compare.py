"""From a results folder to a Comparison."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

import harness
from harness.comparison import caveats
from harness.statistics.multiple_testing import benjamini_hochberg, holm
from harness.types import SkilldeltaError
from tests.support.results_folder import about, sample, store, store_scores

OLD = [1.0] * 60 + [0.0] * 40
WORSE = [1.0] * 30 + [0.0] * 70


def test_a_lost_skill_is_called_worse_and_the_flips_are_counted(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD, "reasoning")
    store_scores(tmp_path, "dpo", "gsm8k", WORSE, "reasoning")
    difference = harness.compare(tmp_path, "sft").row("dpo", "task", "gsm8k").difference
    assert difference is not None
    assert (difference.verdict, difference.delta) == ("worse", pytest.approx(-30))
    assert difference.flips is not None
    assert (difference.flips.lost, difference.flips.gained) == (30, 0)
    assert difference.p == pytest.approx(2 * 0.5**30)
    assert difference.delta_low < -30 < difference.delta_high < 0


def test_a_checkpoint_compared_with_its_twin_has_a_delta_of_zero_and_an_interval(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    store_scores(tmp_path, "twin", "gsm8k", OLD)
    for level in ("task", "skill", "average"):
        difference = harness.compare(tmp_path, "sft").row("twin", level, "gsm8k" if level != "average" else level).difference
        assert difference is not None
        assert (difference.delta, difference.p, difference.verdict) == (0, 1, "unclear")
        assert difference.delta_low < 0 < difference.delta_high


def test_equal_is_called_the_same_once_the_interval_lies_within_the_margin(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "mmlu", OLD * 10)
    store_scores(tmp_path, "twin", "mmlu", OLD * 10)
    difference = harness.compare(tmp_path, "sft", margin=1.0).row("twin", "task", "mmlu").difference
    assert difference is not None
    assert difference.verdict == "same"


def test_a_skill_is_the_mean_of_its_tasks_and_the_average_the_mean_of_skills(tmp_path: Path) -> None:
    for name, shift in (("sft", 0), ("dpo", 10)):
        store_scores(tmp_path, name, "gsm8k", [1.0] * (50 - shift) + [0.0] * (50 + shift), "reasoning")
        store_scores(tmp_path, name, "bbh", [1.0] * (20 + 2 * shift) + [0.0] * (30 - 2 * shift), "reasoning")
        store_scores(tmp_path, name, "mmlu", [1.0] * 10 + [0.0] * 30, "facts")
    comparison = harness.compare(tmp_path, "sft")
    skill, average = comparison.row("dpo", "skill", "reasoning"), comparison.row("dpo", "average", "average")
    assert skill.score == pytest.approx((40 + 80) / 2)
    assert average.score == pytest.approx((60 + 25) / 2)
    assert skill.difference is not None
    assert average.difference is not None
    assert skill.difference.delta == pytest.approx((-10 + 40) / 2)
    assert average.difference.delta == pytest.approx(15 / 2)


def test_pairs_are_matched_by_content_whatever_the_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 2, 80).astype(float)
    store_scores(tmp_path, "sft", "gsm8k", list(scores))
    samples = [sample(int(i), float(scores[i])) for i in rng.permutation(80)]
    store(tmp_path, "shuffled", about("gsm8k", "gsm8k"), samples)
    difference = harness.compare(tmp_path, "sft").row("shuffled", "task", "gsm8k").difference
    assert difference is not None
    assert difference.flips is not None
    assert (difference.flips.lost, difference.flips.gained, difference.missing) == (0, 0, 0)


def test_what_is_missing_or_unscored_on_one_side_is_left_out_of_pairs_and_counted(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", [1.0] * 10)
    samples = [sample(i, None if i == 3 else 0.0, why="cut") for i in range(8)] + [sample("another", 1.0)]
    store(tmp_path, "dpo", about("gsm8k", "gsm8k"), samples)
    comparison = harness.compare(tmp_path, "sft")
    row = comparison.row("dpo", "task", "gsm8k")
    assert row.difference is not None
    assert comparison.incomplete == ("dpo on gsm8k: of 11 items, 4 without a score on one side.",)
    assert (row.difference.pairs, row.difference.missing) == (7, 4)  # examples 8 and 9, the other one, and the unscored
    assert (row.n, row.unscored) == (8, 1)
    assert (row.if_wrong, row.if_right) == (pytest.approx(100 / 9), pytest.approx(200 / 9))


def test_a_skill_with_a_task_missing_has_no_row_and_says_so(tmp_path: Path) -> None:
    for task in ("gsm8k", "bbh"):
        store_scores(tmp_path, "sft", task, OLD, "reasoning")
    store_scores(tmp_path, "dpo", "gsm8k", OLD, "reasoning")
    comparison = harness.compare(tmp_path, "sft")
    assert [r.level for r in comparison.rows if r.checkpoint == "dpo"] == ["task"]
    assert "dpo has no bbh" in comparison.incomplete[0]


def test_an_unknown_baseline_is_told_with_the_names_there_are(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    with pytest.raises(SkilldeltaError, match=r"no checkpoint 'stf'\. Did you mean 'sft'"):
        harness.compare(tmp_path, "stf")


def test_health_is_counted_beside_the_score(tmp_path: Path) -> None:
    samples = [sample(0, 0.0, finish="length"), sample(1, 0.0, text=" "), sample(2, None, finish="overlong"), sample(3, 1.0)]
    store(tmp_path, "sft", about("gsm8k", "gsm8k"), samples)
    health = harness.compare(tmp_path, "sft").rows[0].health
    assert {k: v for k, v in health.items() if v} == {"truncated": 1, "empty": 1, "overlong": 1, "unscored": 1}


def test_the_comparison_is_json_without_nan_and_a_frame_with_a_line_a_row(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", [None] * 5)
    store_scores(tmp_path, "dpo", "gsm8k", [1.0] * 5)
    comparison = harness.compare(tmp_path, "sft")
    whole = json.loads(json.dumps(comparison.json(), allow_nan=False))
    assert whole["rows"][0]["score"] is None
    assert len(comparison.frame()) == len(whole["rows"]) == len(comparison.rows)


def test_the_same_results_give_the_same_comparison(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for name in ("sft", "dpo", "ppo"):
        for task in ("gsm8k", "bbh"):
            store_scores(tmp_path, name, task, list(rng.random(60)), "reasoning")
    assert harness.compare(tmp_path, "sft").json() == harness.compare(tmp_path, "sft").json()


def test_the_best_of_several_is_told_with_what_choosing_it_does_to_its_score(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    for step in range(6):
        store_scores(tmp_path, f"step-{step}", "gsm8k", list(rng.integers(0, 2, 100).astype(float)))
    best = {b.level: b for b in harness.compare(tmp_path, "sft").best}
    assert set(best) == {"average", "skill"}
    assert best["skill"].corrected < best["skill"].score
    assert best["skill"].low < best["skill"].corrected < best["skill"].high
    assert len(best["skill"].equals) > 3
    assert sum(best["skill"].probability.values()) == pytest.approx(1)


def test_a_candidate_that_was_asked_a_few_questions_is_not_the_best_of_all(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    for name in ("dpo", "ppo"):
        store_scores(tmp_path, name, "gsm8k", OLD)
    store_scores(tmp_path, "begun", "gsm8k", [1.0] * 7)
    for best in harness.compare(tmp_path, "sft").best:
        assert best.checkpoint in ("dpo", "ppo")
        assert "begun" not in best.probability
        assert "begun" not in best.equals


def test_only_the_named_candidates_are_compared(tmp_path: Path) -> None:
    for name in ("sft", "dpo", "ppo"):
        store_scores(tmp_path, name, "gsm8k", OLD)
    assert set(harness.compare(tmp_path, "sft", candidates=["ppo"]).checkpoints) == {"sft", "ppo"}


@pytest.mark.parametrize("often", [0, 1, 30, 100])
def test_a_metric_that_is_a_share_has_wilsons_interval_within_0_and_100(tmp_path: Path, often: int) -> None:
    metrics = [{"name": "refusal", "part": "refused", "over": "", "group": "", "lower_is_better": True}]
    lines = [sample(i, 1.0, parts={"refused": float(i < often)}) for i in range(100)]
    store(tmp_path, "sft", about("xstest", "safety", task={"metrics": metrics}), lines)
    (extra,) = harness.compare(tmp_path, "sft").row("sft", "task", "xstest").metrics
    low, high = proportion_confint(often, 100, method="wilson")
    assert (extra.low, extra.high) == (pytest.approx(100 * low, abs=0.35), pytest.approx(100 * high, abs=0.35))
    assert 0 <= extra.low <= extra.value <= extra.high <= 100


def test_a_metric_of_a_task_has_an_interval_and_a_difference(tmp_path: Path) -> None:
    metrics = [{"name": "over_refusal", "part": "refused", "over": "", "group": "safe", "lower_is_better": True}]
    facts = about("xstest", "safety", task={"aggregate": "f1", "positive": "unsafe", "metrics": metrics})
    for name, often in (("sft", 10), ("dpo", 25)):
        safe = [sample(i, float(i >= often), parts={"refused": float(i < often)}, group="safe") for i in range(100)]
        unsafe = [sample(i, 1.0, parts={"refused": 1.0}, group="unsafe") for i in range(100, 150)]
        store(tmp_path, name, facts, [*safe, *unsafe])
    row = harness.compare(tmp_path, "sft").row("dpo", "task", "xstest")
    (extra,) = row.metrics
    assert row.score == pytest.approx(100 * 2 * 50 / (2 * 50 + 25))
    assert (extra.value, extra.delta) == (pytest.approx(25), pytest.approx(15))
    assert extra.low < 25 < extra.high
    assert row.difference is not None
    assert row.difference.verdict == "worse"


def test_a_metric_that_is_an_f1_of_the_same_groups_has_the_interval_of_one(tmp_path: Path) -> None:
    """Two positive items of thirty: as a ratio of sums its interval would be too short."""
    metrics = [{"name": "authors_f1", "part": "hits", "over": "weight", "group": "", "lower_is_better": False}]
    facts = about("xstest", "safety", task={"aggregate": "f1", "positive": "unsafe", "metrics": metrics})
    for name, false in (("sft", 2), ("dpo", 6)):
        unsafe = [
            sample(i, float(i < 1), parts={"hits": 2.0 * (i < 1), "weight": 1.0 + (i < 1)}, group="unsafe") for i in (0, 1)
        ]
        safe = [
            sample(i, float(i > false), parts={"hits": 0.0, "weight": float(i <= false)}, group="safe") for i in range(2, 30)
        ]
        store(tmp_path, name, facts, [*unsafe, *safe])
    row = harness.compare(tmp_path, "sft").row("dpo", "task", "xstest")
    (extra,) = row.metrics
    assert (extra.value, extra.low, extra.high) == pytest.approx((row.score, row.score_low, row.score_high))
    assert row.difference is not None
    found = (row.difference.delta, row.difference.delta_low, row.difference.delta_high)
    assert (extra.delta, extra.delta_low, extra.delta_high) == pytest.approx(found)
    assert extra.high - extra.low > 40


def test_a_damaged_line_is_told_by_its_number_and_a_torn_last_one_passed_over(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    store_scores(tmp_path, "dpo", "gsm8k", OLD)
    file = tmp_path / "dpo" / "gsm8k" / "samples.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    assert harness.compare(tmp_path, "sft").row("dpo", "task", "gsm8k").n == 99
    file.write_bytes(whole.replace(b"}\n{", b"\n{", 1))
    with pytest.raises(SkilldeltaError, match="line 1, is not a sample"):
        harness.compare(tmp_path, "sft")


def several(folder: Path, names: tuple[str, ...]) -> Path:
    """Three tasks of 80 random items; nobody is better."""
    rng = np.random.default_rng(11)
    for name in names:
        for task in ("gsm8k", "mmlu", "xstest"):
            store_scores(folder, name, task, list(rng.integers(0, 2, 80).astype(float)))
    return folder


def test_one_candidate_is_corrected_by_holm_and_several_by_max_t(tmp_path: Path) -> None:
    one = harness.compare(several(tmp_path / "one", ("sft", "dpo")), "sft")
    rows = [r.difference for r in one.at("skill") if r.difference]
    assert [d.p_adjusted for d in rows] == pytest.approx(list(holm(np.array([d.p for d in rows]))))
    assert one.families["skill"].startswith("Holm")
    more = harness.compare(several(tmp_path / "more", ("sft", "dpo", "ppo")), "sft")
    assert more.families["skill"].startswith("step-down max-T over 6 tests (2 candidates)")
    for row in more.rows:
        if row.difference:
            assert row.difference.p <= row.difference.p_adjusted <= 1


@pytest.mark.parametrize(("family", "words"), [("bh", "Benjamini-Hochberg"), ("none", "no correction"), ("holm", "Holm")])
def test_another_correction_can_be_chosen_and_is_said(tmp_path: Path, family: str, words: str) -> None:
    comparison = harness.compare(several(tmp_path, ("sft", "dpo", "ppo")), "sft", family=family)
    assert comparison.families["task"].startswith(words)
    rows = [r.difference for r in comparison.at("task") if r.difference]
    if family == "none":
        assert all(d.p_adjusted == d.p for d in rows)
    if family == "bh":
        assert [d.p_adjusted for d in rows] == pytest.approx(list(benjamini_hochberg(np.array([d.p for d in rows]))))


def test_a_cell_that_is_still_running_is_compared_so_far_and_told(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    store(tmp_path, "dpo", about("gsm8k", "gsm8k", state="running"), [sample(i, 1.0) for i in range(30)])  # type: ignore[arg-type]
    comparison = harness.compare(tmp_path, "sft")
    difference = comparison.row("dpo", "task", "gsm8k").difference
    assert difference is not None
    assert (difference.pairs, difference.missing) == (30, 70)
    assert "dpo on gsm8k is running, not done" in comparison.incomplete[0]


def test_the_foot_says_how_far_a_pass_of_a_program_can_be_believed() -> None:
    def cell(integrity: str, tier: str) -> SimpleNamespace:
        return SimpleNamespace(record=SimpleNamespace(conditions={"integrity": integrity, "sandbox": {"tier": tier}}))

    cells = {
        ("a", "humaneval"): cell("values", "namespaces"), ("b", "humaneval"): cell("values", "namespaces"),
        ("a", "mbpp"): cell("values", "namespaces"), ("a", "mocks"): cell("cooperative", "none"),
        ("a", "gsm8k"): SimpleNamespace(record=SimpleNamespace(conditions={})),
    }  # fmt: skip
    notes = caveats.integrity_notes(SimpleNamespace(cells=cells))  # type: ignore[arg-type]
    assert notes[0].startswith("Programs of mocks were judged by tests in their own process, which a program can FORGE")
    assert notes[0].endswith("they ran UNCONFINED.")
    assert notes[1].startswith("Programs of humaneval, mbpp were judged on plain values")
    assert notes[1].endswith("(integrity: values); sandbox: namespaces.")


def test_a_baseline_whose_samples_are_lost_is_incomplete_and_no_error_of_ours(tmp_path: Path) -> None:
    for name in ("base", "tuned"):
        store_scores(tmp_path, name, "sums", [1.0, 0.0, 1.0])
    (tmp_path / "base" / "sums" / "samples.jsonl").write_bytes(bytes(5000))
    comparison = harness.compare(tmp_path, "base")
    assert any("of 3 items, 3 without a score" in line for line in comparison.incomplete)
