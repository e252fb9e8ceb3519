"""Readings that contradict each other, tasks that one side lacks, metric rules: what makes a gate undecided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import harness
from harness.comparison import gate
from harness.comparison.readings import Reading, are_opposed
from harness.comparison.result import Comparison
from tests.support.results_folder import about, sample, store, store_scores

N = 400


def answers(comparison: Comparison, **policy: Any) -> dict[str, str]:
    result = gate.gate(comparison, "dpo", gate.parse_policy(policy))
    return {r.name: r.answer for r in result.rule_results}


def store_filters(folder: Path, strict: tuple[int, int], flexible: tuple[int, int]) -> Comparison:
    """sft and dpo: how many of 400 answers are right, read strictly and flexibly."""
    for place, name in enumerate(("sft", "dpo")):
        store_scores(folder, name, "gsm8k", [float(i < strict[place]) for i in range(N)], "reasoning")
        variant = about("gsm8k flexible", "reasoning", task={"variant_of": "gsm8k"})
        store(folder, name, variant, [sample(i, float(i < flexible[place])) for i in range(N)])
        store_scores(folder, name, "facts", [1.0] * N)
    return harness.compare(folder, "sft")


def test_a_strict_reading_that_falls_and_a_flexible_one_that_rises_decide_nothing(tmp_path: Path) -> None:
    comparison = store_filters(tmp_path, (200, 260), (320, 280))
    assert answers(comparison) == {"reasoning": "inconclusive", "facts": "pass"}
    (warning,) = comparison.warnings
    assert "gsm8k flexible by −10.0" in warning
    assert "gsm8k by +15.0" in warning
    assert "point opposite ways" in warning
    assert comparison.json()["contradictions"][0]["task"] == "gsm8k"


def test_readings_that_fall_together_are_a_regression(tmp_path: Path) -> None:
    comparison = store_filters(tmp_path, (260, 200), (320, 280))
    assert answers(comparison) == {"reasoning": "regression", "facts": "pass"}
    assert comparison.warnings == ()


@pytest.mark.parametrize(
    ("one", "other", "opposed"),
    [
        (("a", -5.0, -9.0, -1.0), ("b", 1.0, -3.0, 5.0), True),  # one is shown
        (("a", -5.0, -11.0, 1.0), ("b", 5.0, -1.0, 11.0), True),  # their distance is
        (("a", -1.0, -5.0, 3.0), ("b", 1.0, -3.0, 5.0), False),
        (("a", -5.0, -9.0, -1.0), ("b", 0.0, -3.0, 3.0), False),
        (("a", 5.0, 1.0, 9.0), ("b", 9.0, 3.0, 12.0), False),
    ],
)
def test_readings_are_opposed_where_that_is_no_noise(one: Reading, other: Reading, opposed: bool) -> None:
    assert are_opposed(one, other) is are_opposed(other, one) is opposed


def test_filters_among_the_metrics_of_a_task_are_readings_too(tmp_path: Path) -> None:
    metrics = [
        {"name": f"match,{f}", "part": f, "over": "", "group": "", "lower_is_better": False} for f in ("strict", "loose")
    ]
    for name, strict, loose in (("sft", 300, 200), ("dpo", 200, 300)):
        parts = [{"strict": float(i < strict), "loose": float(i < loose)} for i in range(N)]
        samples = [sample(i, 1.0, parts=parts[i]) for i in range(N)]
        store(tmp_path, name, about("gsm8k", "reasoning", task={"metrics": metrics}), samples)
    assert answers(harness.compare(tmp_path, "sft")) == {"reasoning": "inconclusive"}


@pytest.mark.parametrize("lacking", ["sft", "dpo"])
def test_a_task_that_one_side_lacks_lets_no_gate_pass(tmp_path: Path, lacking: str) -> None:
    for name in ("sft", "dpo"):
        for task, skill in (("gsm8k", "reasoning"), ("bbh", "reasoning"), ("mmlu", "facts"), ("xstest", "safety")):
            if name != lacking or task not in ("bbh", "xstest"):
                store_scores(tmp_path, name, task, [1.0] * N, skill)
    comparison = harness.compare(tmp_path, "sft")
    expected = {"reasoning": "inconclusive", "facts": "pass", "safety": "inconclusive"}
    assert answers(comparison) == expected
    assert answers(comparison, average={})["average"] == "inconclusive"
    result = gate.gate(comparison, "dpo", gate.Policy())
    assert f"{lacking} has no samples of bbh" in next(r.why for r in result.rule_results if r.name == "reasoning")
    assert answers(comparison, default=None, skills={"facts": {}}) == {"facts": "pass"}


def test_a_cell_that_failed_on_both_sides_is_a_task_that_both_lack(tmp_path: Path) -> None:
    for name in ("sft", "dpo"):
        store_scores(tmp_path, name, "gsm8k", [1.0] * N, "reasoning")
        failed = about("bbh", "reasoning", state="failed")  # type: ignore[arg-type]
        store(tmp_path, name, failed | {"why": "samples_bbh.jsonl is a Git LFS pointer"}, [])
    comparison = harness.compare(tmp_path, "sft")
    assert answers(comparison) == {"reasoning": "inconclusive"}
    assert "sft, dpo on bbh have no samples (failed: samples_bbh.jsonl is a Git LFS pointer)." in comparison.incomplete


def test_many_items_without_a_partner_are_no_pass(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "facts", [1.0] * N)
    store_scores(tmp_path, "dpo", "facts", [1.0] * (N - 40))
    result = gate.gate(harness.compare(tmp_path, "sft"), "dpo", gate.Policy())
    assert (result.answer, result.rule_results[0].why) == ("inconclusive", "of 400 items, 40 without a score on one side")


@pytest.mark.parametrize("n", [1, 40])
def test_a_rule_on_a_metric_answers_as_the_same_rule_on_the_same_scores(tmp_path: Path, n: int) -> None:
    metric = {"name": "acc", "part": "acc", "over": "", "group": "", "lower_is_better": False}
    for name in ("sft", "dpo"):
        samples = [sample(i, 1.0, parts={"acc": 1.0}) for i in range(n)]
        store(tmp_path, name, about("refusal", "safety", task={"metrics": [metric]}), samples)
    comparison = harness.compare(tmp_path, "sft")
    by_metric = {"default": None, "metrics": {"refusal/acc": {"max_drop": 1}}}
    assert answers(comparison, **by_metric) == {"refusal/acc": "inconclusive"}
    row = comparison.row("dpo", "task", "refusal")
    (value,) = row.metrics
    assert row.difference
    assert (value.delta_low, value.delta_high) == (row.difference.delta_low, row.difference.delta_high)
    assert (value.low, value.high, value.p, value.mde) == (row.score_low, row.score_high, row.difference.p, row.difference.mde)


def test_a_metric_that_is_the_score_follows_it_when_noise_widens_it(tmp_path: Path) -> None:
    metric = {"name": "acc", "part": "acc", "over": "", "group": "", "lower_is_better": False}
    facts = about("chat", "chat", task={"metrics": [metric]})
    for name, right in (("sft", 100), ("dpo", 112)):
        samples = [sample(i, float(i < right), parts={"acc": float(i < right)}) for i in range(200)]
        store(tmp_path, name, facts | {"noise": {"n": 200, "flips": 20, "shift": 0.0, "square": 0.1}}, samples)
    row = harness.compare(tmp_path, "sft").row("dpo", "task", "chat")
    assert row.difference is not None
    assert row.difference.noise == pytest.approx(10)
    assert (row.metrics[0].delta_low, row.metrics[0].delta_high) == (row.difference.delta_low, row.difference.delta_high)
