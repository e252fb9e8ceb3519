"""No verdict against its interval, no interval without width, no gate that passes what its table leaves open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness.comparison.decision import decide
from harness.statistics.decision import DecisionRule
from tests.bench import contradictions, sentences
from tests.support.results_folder import store_scores


@pytest.mark.slow
def test_a_search_over_random_comparisons_finds_no_contradiction() -> None:
    assert contradictions.search(8, first=20_000) == {}


@pytest.mark.slow
def test_a_long_search_over_random_comparisons_finds_no_contradiction() -> None:
    assert contradictions.search(400, first=30_000) == {}


def test_the_search_sees_a_verdict_against_its_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_scores(tmp_path, "base", "gsm8k", [0.0] * 5)
    store_scores(tmp_path, "dpo", "gsm8k", [1.0] + [0.0] * 4)
    monkeypatch.setattr(DecisionRule, "verdict", lambda *_: "better")
    kinds = [fault.partition(":")[0] for fault in contradictions.faults(harness.compare(tmp_path, "base"))]
    assert "better against its interval" in kinds


@pytest.mark.parametrize(
    ("true", "lie", "kind"),
    [
        ("the highest of 2, dpo, has +1.0", "the highest of 2, ppo, has +1.0", "not the highest"),
        ("would show a lead", "which these items suffice to say: a lead", "a lead beyond the margin is open or not"),
        ("dpo", "dpo and base share no item with a score, dpo", "share no item, though they do"),
        ("+1.0", "nan", "no number"),
    ],
)
def test_the_search_sees_a_sentence_against_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, true: str, lie: str, kind: str
) -> None:
    for name, gained in (("base", 0), ("dpo", 1), ("ppo", 0)):
        store_scores(tmp_path, name, "gsm8k", [1.0] * (50 + gained) + [0.0] * (50 - gained))
    comparison = harness.compare(tmp_path, "base")
    assert list(sentences.sentence_faults(comparison)) == []
    decision = decide(comparison)
    assert true in decision.sentence
    checkpoint = "ppo" if kind == "not the highest" else decision.checkpoint
    changed = replace(decision, sentence=decision.sentence.replace(true, lie, 1), checkpoint=checkpoint)
    monkeypatch.setattr(sentences, "decide", lambda _: changed)
    assert kind in [fault.partition(":")[0] for fault in sentences.sentence_faults(comparison)]


@pytest.mark.parametrize(
    ("difference", "interval", "p", "verdict"),
    [
        (3.0, (0.3, 6.7), 0.03, "better"), (3.0, (-0.2, 6.2), 0.03, "unclear"), (3.0, (0.3, 6.7), 0.06, "unclear"),
        (-3.0, (-6.7, -0.3), 0.03, "worse"), (0.1, (-1.0, 1.2), 0.03, "same"), (1.0, (0.2, 1.8), 0.03, "better"),
        (1.0, (0.2, 1.8), 0.5, "same"),
    ],
)  # fmt: skip
def test_a_verdict_needs_its_p_value_and_its_interval(
    difference: float, interval: tuple[float, float], p: float, verdict: str
) -> None:
    assert DecisionRule(0.95, 2.0).verdict(difference, interval, p) == verdict


def test_a_skill_of_a_task_that_moved_and_one_that_did_not_has_an_interval_that_agrees_with_its_p_value(tmp_path: Path) -> None:
    """Six of 100 gained, none lost, and 100 unchanged: p is 1/32 exactly."""
    for name, gained in (("base", 0), ("dpo", 6)):
        store_scores(tmp_path, name, "one", [1.0] * (50 + gained) + [0.0] * (50 - gained), "reasoning")
        store_scores(tmp_path, name, "two", [1.0] * 60 + [0.0] * 40, "reasoning")
    difference = harness.compare(tmp_path, "base").row("dpo", "skill", "reasoning").difference
    assert difference is not None
    assert difference.p == pytest.approx(1 / 32)
    assert (difference.verdict, difference.delta_low > 0) == ("better", True)
