"""Held-out items: the same for everybody, judged apart from what was chosen by, and counted each time they are looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.cli import main
from harness.comparison.decision import decide
from harness.comparison.gate import Policy, gate
from harness.comparison.holdout import LEDGER, Holdout
from harness.evaluation.cell_part import score_part
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.store import Results
from harness.types import SkilldeltaError, digest
from tests.evaluation.test_choose import lazy, right_on
from tests.support import toys
from tests.support.results_folder import about, sample, store

OWN_TASK = """
from tests.support import toys
TASKS = (toys.adding(40, "own_adding"),)
"""


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Results of a baseline and three candidates on 200 items."""
    for name, share in (("sft", 0.5), ("a", 0.7), ("b", 0.9), ("c", 0.4)):
        loader = lambda _, share=share: toys.model(right_on(share))  # noqa: E731
        task = toys.adding(200)
        score_checkpoints([toys.checkpoint(name)], [task], loader, Results.make(tmp_path / "results"), EvaluationSettings())
    return tmp_path / "results"


@pytest.mark.slow
@given(st.floats(0.05, 0.95), st.integers(0, 10**6))
def test_a_share_of_the_ids_is_held_out_and_the_others_are_not(share: float, start: int) -> None:
    split = Holdout(share)
    ids = [digest(start + i) for i in range(400)]
    held_out = sum(map(split.holds_out, ids))
    assert abs(held_out - 400 * share) < 100
    assert held_out + sum(map(split.develops, ids)) == 400
    assert list(map(split.holds_out, ids)) == list(map(Holdout(share).holds_out, ids))


def test_the_best_of_the_other_items_is_judged_on_the_held_out_ones_alone(stored: Path) -> None:
    comparison = harness.compare(stored, "sft", holdout=0.5)
    assert list(comparison.checkpoints) == ["sft", "b"]
    ids = [e for e in Results(stored).rows("adding") if Holdout(0.5).holds_out(e)]
    assert comparison.row("b", "task", "adding").n == len(ids)
    scores = {s.example: s.score.value for s in Results(stored).cell("b", "adding").samples()}
    assert comparison.row("b", "task", "adding").score == pytest.approx(100 * sum(scores[e] or 0 for e in ids) / len(ids))
    assert any("b was chosen among 3 on the other items" in line and "looked at once" in line for line in comparison.caveats)
    assert comparison.json()["settings"]["holdout"] == 0.5
    assert "holdout" not in harness.compare(stored, "sft").json()["settings"]


@pytest.mark.slow
def test_looks_are_counted_and_the_same_look_counts_once(stored: Path) -> None:
    for candidates, words in (([], "once"), ([], "once"), (["a"], "2 times"), (["b"], "2 times"), (["c"], "3 times")):
        comparison = harness.compare(stored, "sft", candidates=candidates, holdout=0.5)
        assert any(f"looked at {words}." in line for line in comparison.caveats)
    assert [look["candidate"] for look in json.loads((stored / LEDGER).read_text())["looks"]] == ["b", "a", "c"]


def test_another_share_is_refused_because_it_would_hold_out_what_was_chosen_by(stored: Path) -> None:
    harness.compare(stored, "sft", holdout=0.5)
    with pytest.raises(SkilldeltaError, match=r"holds out 0\.5 of its items, not 0\.3"):
        harness.compare(stored, "sft", holdout=0.3)
    for share in (-0.1, 1.0):
        with pytest.raises(SkilldeltaError, match="holdout"):
            harness.compare(stored, "sft", holdout=share)


def test_filters_of_examples_still_hold(stored: Path, tmp_path: Path) -> None:
    ids = sorted(Results(stored).rows("adding"))[:120]
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    comparison = harness.compare(stored, "sft", only=[str(tmp_path / "ids.txt")], candidates=["b"], holdout=0.5)
    assert comparison.row("b", "task", "adding").n == sum(map(Holdout(0.5).holds_out, ids))


@pytest.mark.slow
def test_items_that_nobody_was_asked_are_no_verdict(tmp_path: Path) -> None:
    results, task, split = Results.make(tmp_path), toys.adding(200), Holdout(0.5)
    models = [lazy(name, right_on(share)) for name, share in (("sft", 0.5), ("a", 0.7), ("b", 0.9))]
    outcomes = score_part(models, [task], results, EvaluationSettings(), split.develops)
    assert [o.state for o in outcomes] == ["done"] * 3
    with pytest.raises(
        SkilldeltaError, match=r"(?s)sft and b were not asked the held-out items.*b is what the other items choose"
    ):
        harness.compare(tmp_path, "sft", holdout=0.5)
    assert not (tmp_path / LEDGER).exists()
    again = score_part(models, [task], results, EvaluationSettings(), split.develops)
    assert [o.state for o in again] == ["already"] * 3
    for name, share in (("sft", 0.5), ("b", 0.9)):
        loader = lambda _, share=share: toys.model(right_on(share))  # noqa: E731
        (outcome,) = score_checkpoints([toys.checkpoint(name)], [task], loader, results, EvaluationSettings())
        assert (outcome.state, outcome.samples) == ("done", 200)
    assert list(harness.compare(tmp_path, "sft", holdout=0.5).checkpoints) == ["sft", "b"]


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


@pytest.mark.slow
def test_the_command_line_chooses_on_one_half_and_judges_on_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(OWN_TASK)
    flags = ["-t", "own_adding", "--include-path", tmp_path / "own.py", "--backend", "scripted", "--backend-args", "text=4",
             "-o", tmp_path / "results"]  # fmt: skip
    assert command("choose", "hub/a", "hub/b", "hub/sft", "--baseline", "sft", "--holdout", "0.5", *flags) == 0
    out = capsys.readouterr().out
    assert "None of them scores higher than the baseline sft" in out
    assert "2 cannot be told from it: a, b" in out
    assert command("score", "hub/a", "hub/sft", "--holdout", "0.5", *flags) == 0
    assert command("score", "hub/a", "--holdout", "0.5", "--ask-again", *flags) == 3
    assert "use it without --recorded" in capsys.readouterr().err
    assert command("bisect", "hub/a", "--baseline", "hub/sft", "--skill", "reasoning", "--json", *flags) == 0
    assert json.loads(capsys.readouterr().out)["first_fallen"] == ""
    assert command("choose", "hub/a", "--baseline", "hub/sft", "--max-share", "2", *flags) == 3


def test_a_skill_without_a_held_out_item_is_said_to_count_nowhere(stored: Path) -> None:
    (row,) = [n for n in range(30) if not Holdout(0.5).holds_out(digest(n))][:1]
    for name in ("sft", "a", "b", "c"):
        facts = about("small", "safety")
        store(stored, name, facts, [sample(row, 1.0)])
    comparison = harness.compare(stored, "sft", holdout=0.5)
    assert ("sft", "small") in {(a.checkpoint, a.task) for a in comparison.absent}
    assert "sft, b on small have no samples (done: none of its examples counts here)." in comparison.incomplete
    assert "sft has no samples of small, which count nowhere" in decide(comparison).sentence
    answers = {r.name: r.answer for r in gate(comparison, "b", Policy()).rule_results}
    assert answers["safety"] == "inconclusive"
