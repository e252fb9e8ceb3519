"""The decision first: true for every constellation of results, and never at odds with a verdict or the gate."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.comparison.compare import compare
from harness.comparison.decision import Decision, decide, order_by_decision
from harness.comparison.gate import Policy, gate
from harness.comparison.result import Comparison, ComparisonSettings
from harness.types import SkilldeltaError
from tests.support.results_folder import about, sample, store, store_scores
from tests.support.training_runs import store as store_rates

ITEMS = 200


def scores(gained: int, lost: int = 0, items: int = ITEMS) -> list[float]:
    """A candidate of a baseline that has the first half right: so many more, so many fewer."""
    half = items // 2
    return [0.0] * lost + [1.0] * (half - lost) + [1.0] * gained + [0.0] * (items - half - gained)


def compared(folder: Path, candidates: Mapping[str, Mapping[str, list[float]]], **options: object) -> Comparison:
    """Candidates by name, each with the scores of its tasks; the baseline has half of every task right."""
    tasks = list(next(iter(candidates.values()), {"reasoning": scores(0)}))
    for task in tasks:
        items = max(len(own[task]) for own in candidates.values() if task in own) if candidates else ITEMS
        store_scores(folder, "sft", task, scores(0, items=items))
    for name, own in candidates.items():
        for task, values in own.items():
            store_scores(folder, name, task, values)
    return compare(folder, "sft", ComparisonSettings(**options))  # type: ignore[arg-type]


def decision(folder: Path, candidates: Mapping[str, Mapping[str, list[float]]], **options: object) -> Decision:
    comparison = compared(folder, candidates, **options)
    check(comparison)
    return decide(comparison)


def check(comparison: Comparison) -> None:
    """The sentence against the verdicts, and against the gate asked for the candidate alone."""
    d = decide(comparison)
    candidates = [name for name in comparison.checkpoints if name != comparison.baseline]
    assert sorted(d.order) == sorted(candidates)
    assert d.sentence.endswith(".")
    assert d.sentence.startswith({"ship": "Ship ", "ship at a cost": "Ship "}.get(d.outcome, d.sentence[:1]))
    averages = {r.checkpoint: r.difference for r in comparison.at("average") if r.difference}
    better = [name for name, a in averages.items() if a.verdict == "better"]
    skills = {(r.checkpoint, r.name): r.difference for r in comparison.at("skill") if r.difference}
    losing = {name for (name, _), x in skills.items() if x.verdict == "worse"}
    if d.outcome in ("ship", "ship at a cost"):
        assert d.checkpoint in better
        assert d.items is None
        assert f"Ship {d.checkpoint}{':' if d.outcome == 'ship' else ' only if'}" in d.sentence
        assert (d.checkpoint in losing) <= (d.outcome == "ship at a cost")
        assert set(d.worse) >= {skill for (name, skill), x in skills.items() if name == d.checkpoint and x.verdict == "worse"}
    elif d.outcome == "none better":
        assert not set(better) - {name for name in better if name in {o.checkpoint for o in comparison.contradictions}}
        assert "Ship" not in d.sentence
        assert d.checkpoint is not None
        assert averages[d.checkpoint].delta == max(a.delta for a in averages.values())
    if d.items is not None:
        assert d.items > min(a.pairs for a in averages.values())
        assert f"{d.items:,} items" in d.sentence


def test_a_clear_winner_is_shipped_with_its_gain_its_certainty_and_its_skills(tmp_path: Path) -> None:
    d = decision(
        tmp_path, {"dpo": {"reasoning": scores(60), "safety": scores(40)}, "ppo": {"reasoning": scores(5), "safety": scores(2)}}
    )
    assert (d.outcome, d.checkpoint, d.equals, d.worse) == ("ship", "dpo", (), ())
    assert d.sentence.startswith("Ship dpo: +25.0 [")
    assert (
        "points on average against sft (p <0.001 among 2 candidates, its score corrected for the choice: 75.0 [" in d.sentence
    )
    assert "better in reasoning (+30.0) and safety (+20.0), shown worse in none" in d.sentence
    assert "no other can be the highest" in d.sentence
    assert "ruled out" not in d.sentence, "no skill can have dropped"


def test_a_tie_of_several_names_those_that_cannot_be_told_from_it(tmp_path: Path) -> None:
    rates = {f"dpo@{step}": {"reasoning": scores(60 - i)} for i, step in enumerate((100, 200, 300, 400, 500, 600, 700))}
    d = decision(tmp_path, rates)
    assert (d.outcome, d.checkpoint) == ("ship", "dpo@100")
    assert set(d.equals) <= set(rates) - {"dpo@100"}
    assert "dpo@200" in d.equals
    assert "cannot be told from it: dpo@200, " in d.sentence
    assert d.order[:3] == ("dpo@100", "dpo@200", "dpo@300")


def test_of_those_that_cannot_be_told_from_it_the_nearest_are_named(tmp_path: Path) -> None:
    gains = {"dpo@1": 50, "dpo@2": 52, "dpo@3": 60, "dpo@4": 54, "dpo@5": 58, "dpo@6": 51, "dpo@7": 56}
    d = decision(tmp_path, {name: {"reasoning": scores(gain)} for name, gain in gains.items()})
    assert d.checkpoint == "dpo@3"
    assert d.equals == tuple(sorted(d.equals, key=lambda name: -gains[name]))
    assert "cannot be told from it: dpo@5, dpo@7 and dpo@4" in d.sentence


def test_one_that_is_not_ranked_against_another_is_not_shipped_as_if_it_were(tmp_path: Path) -> None:
    """ppo has a score on 100 of 200 items: who is higher on all of them is not known."""
    few: list[float | None] = [*([1.0] * 50), *([None] * 100), *([1.0] * 50)]
    store_scores(tmp_path, "ppo", "reasoning", few)
    d = decide(compared(tmp_path, {"dpo": {"reasoning": scores(60)}}))
    assert (d.outcome, d.checkpoint, d.equals) == ("ship", "ppo", ())
    assert d.sentence.endswith("not ranked among the candidates, since their numbers of scored items differ.")


@pytest.mark.slow
def test_where_none_is_better_the_items_that_would_show_it_are_enough_in_a_simulation(tmp_path: Path) -> None:
    d = decision(tmp_path, {"dpo": {"reasoning": scores(14, 6)}})
    assert (d.outcome, d.checkpoint) == ("none better", "dpo")
    assert d.sentence.startswith("The checkpoint is not shown better than sft: dpo has +4.0 [")
    assert d.items is not None
    assert (
        f"about {d.items:,} items, {d.items - ITEMS:,} more than these 200, would show such a lead 4 times in 5" in d.sentence
    )
    rng, verdicts = np.random.default_rng(3), []
    for number in range(40):
        change = rng.choice([1.0, -1.0, 0.0], d.items, p=[0.07, 0.03, 0.9])
        before = np.where(change == 0, rng.integers(0, 2, d.items), change < 0).astype(float)
        store_scores(tmp_path / str(number), "sft", "reasoning", before.tolist())
        store_scores(tmp_path / str(number), "dpo", "reasoning", (before + change).tolist())
        (row,) = [r for r in compare(tmp_path / str(number), "sft").at("average") if r.difference]
        verdicts.append(row.difference.verdict if row.difference else "")
    assert verdicts.count("better") >= 24, "4 in 5, less three standard errors"


def test_a_candidate_below_needs_the_items_of_the_margin(tmp_path: Path) -> None:
    d = decision(tmp_path, {"dpo": {"reasoning": scores(6, 9)}, "ppo": {"reasoning": scores(0, 60)}})
    assert d.outcome == "none better"
    assert "would show a lead of 2 points, if there is one, 4 times in 5" in d.sentence
    assert "shown worse in reasoning: ppo" in d.sentence
    assert d.order == ("dpo", "ppo")


def test_where_the_only_candidate_is_worse_the_baseline_is_kept_and_nothing_is_said_twice(tmp_path: Path) -> None:
    d = decision(tmp_path, {"dpo": {"reasoning": scores(0, 60)}})
    assert (d.outcome, d.checkpoint, d.items) == ("none better", "dpo", None)
    assert re.fullmatch(r"Keep sft: dpo is shown worse, −30\.0 \[−[\d.]+, −[\d.]+\] points in reasoning\.", d.sentence)


def test_the_skills_stand_next_to_the_candidate_that_they_are_those_of(tmp_path: Path) -> None:
    candidates = {
        "dpo": {"reasoning": scores(0), "safety": scores(5, 5)},
        "ppo": {"reasoning": scores(0, 60), "safety": scores(40, 4)},
    }
    d = decision(tmp_path, candidates)
    start, *others = d.sentence.split("; ")
    assert "the highest of 2, dpo, has 0.0 [" in start
    assert start.endswith("points on average, shown worse in no skill")
    assert others[-1] == "shown worse on average: ppo."


def test_where_all_are_the_same_no_more_items_are_asked_for(tmp_path: Path) -> None:
    d = decision(tmp_path, {"again": {"reasoning": scores(0, items=1000)}})
    assert (d.outcome, d.items) == ("none better", None)
    assert "none is better by more than the margin of 2 points, which these items suffice to say" in d.sentence


def test_a_loss_is_the_condition_of_shipping(tmp_path: Path) -> None:
    d = decision(tmp_path, {"dpo": {"reasoning": scores(90), "safety": scores(0, 30)}})
    assert (d.outcome, d.checkpoint, d.worse) == ("ship at a cost", "dpo", ("safety",))
    assert d.sentence.startswith("Ship dpo only if its loss in safety (−15.0 [")
    assert "is acceptable: +15.0 [" in d.sentence


def test_a_better_one_without_a_loss_goes_before_a_higher_one_with_a_loss(tmp_path: Path) -> None:
    d = decision(
        tmp_path,
        {"dpo": {"reasoning": scores(95), "safety": scores(0, 30)}, "ppo": {"reasoning": scores(50), "safety": scores(0)}},
    )
    assert (d.outcome, d.checkpoint, d.order) == ("ship", "ppo", ("ppo", "dpo"))
    assert "higher on average, but at a cost: dpo (loses safety)" in d.sentence


@pytest.mark.slow
def test_what_fails_the_gate_alone_is_a_condition_though_many_candidates_leave_it_open(tmp_path: Path) -> None:
    """With 60 candidates a drop that one candidate's gate proves is no longer proven: the sentence goes with the gate."""
    losing = {"reasoning": scores(80), "safety": scores(3, 16)}
    others = {f"dpo@{i}": {"reasoning": scores(1 + i % 3, i % 2), "safety": scores(i % 4, 1)} for i in range(60)}
    comparison = compared(tmp_path, others | {"ppo": losing})
    check(comparison)
    safety = comparison.row("ppo", "skill", "safety").difference
    alone = compare(tmp_path, "sft", ComparisonSettings(candidates=("ppo",)))
    answers = {r.name: r.answer for r in gate(alone, "ppo", Policy()).rule_results}
    d = decide(comparison)
    assert safety is not None
    assert d.checkpoint == "ppo"
    assert (d.outcome == "ship at a cost") == ("regression" in answers.values() or safety.verdict == "worse")
    if safety.verdict == "unclear" and answers["safety"] == "regression":
        assert "the drop in safety" in d.sentence


def test_a_skill_whose_drop_is_not_ruled_out_is_named(tmp_path: Path) -> None:
    d = decision(tmp_path, {"dpo": {"reasoning": scores(60), "safety": scores(6, 8)}})
    assert "a drop of more than 2 points is not ruled out in safety" in d.sentence


def test_a_candidate_without_a_task_is_left_out_by_name(tmp_path: Path) -> None:
    candidates = {"ppo": {"reasoning": scores(60), "safety": scores(40)}, "dpo": {"reasoning": scores(99)}}
    d = decision(tmp_path, candidates)
    assert (d.outcome, d.checkpoint, d.order) == ("ship", "ppo", ("ppo", "dpo"))
    assert "left out: dpo has no samples of safety" in d.sentence


def test_a_task_without_a_shared_score_is_named_and_the_others_are_not_denied(tmp_path: Path) -> None:
    store_scores(tmp_path, "dpo", "safety", [None] * ITEMS)
    store_scores(tmp_path, "sft", "safety", scores(0))
    d = decision(tmp_path, {"dpo": {"reasoning": scores(60)}, "ppo": {"reasoning": scores(5), "safety": scores(2)}})
    assert "left out: dpo and sft share no item with a score on safety" in d.sentence
    alone = decision(tmp_path / "alone", {"dpo": {"reasoning": [None] * ITEMS}})
    assert alone.sentence == "Nothing is decided: dpo and sft share no item with a score."


def test_a_candidate_with_fewer_scored_items_is_not_said_to_be_beaten(tmp_path: Path) -> None:
    """Its 40 items may be the easy ones: it takes no part in the choice, so the choice says nothing of it."""
    few: list[float | None] = [1.0] * 40 + [None] * (ITEMS - 40)
    store_scores(tmp_path, "ppo", "reasoning", few)
    comparison = compared(tmp_path, {"dpo": {"reasoning": scores(60)}, "rm": {"reasoning": scores(2)}})
    sentence = decide(comparison).sentence
    assert comparison.best[0].left_out == ("ppo",)
    assert "no other with as many scored items can be the highest; not ranked, with fewer scored items: ppo" in sentence
    assert comparison.json()["best"][0]["left_out"] == ["ppo"]


def test_what_the_table_of_the_best_does_not_rank_first_is_not_called_the_highest(tmp_path: Path) -> None:
    """ppo gained 4 of 122 items, dpo 3 of 200; the table of the best does not rank ppo."""
    few: list[float | None] = [*scores(4)[:122], *([None] * 78)]
    store_scores(tmp_path, "ppo", "reasoning", few)
    comparison = compared(tmp_path, {"dpo": {"reasoning": scores(3)}, "rm": {"reasoning": scores(2)}})
    assert comparison.best[0].checkpoint == "dpo"
    assert "the largest difference of 3, that of ppo, is +3.3 [" in decide(comparison).sentence


def test_a_lead_that_the_interval_rules_out_is_not_looked_for(tmp_path: Path) -> None:
    """Four of four lost: p is 1/8 and nothing is proven, but the interval ends below 0."""
    for name, score in (("sft", 1.0), ("dpo", 0.0)):
        store_scores(tmp_path, name, "aime", [score] * 4)
    d = decide(compare(tmp_path, "sft"))
    assert (d.outcome, d.items) == ("none better", None)
    assert "none is better by more than the margin of 2 points, which these items suffice to say" in d.sentence


def test_fewer_items_than_any_test_needs_are_never_said_to_be_enough(tmp_path: Path) -> None:
    """Three tasks of one item, all gained: the signs of five items are no proof, whatever the lead."""
    for task in ("reasoning", "safety", "coding"):
        store_scores(tmp_path, "sft", task, [0.0])
        store_scores(tmp_path, "dpo", task, [1.0])
    d = decide(compare(tmp_path, "sft"))
    assert d.items is not None
    assert d.items >= 6


def test_of_several_the_lead_that_is_open_is_looked_for(tmp_path: Path) -> None:
    """dpo is higher, but its interval ends below 2 points; rm is lower, and its interval does not."""
    d = decision(tmp_path, {"dpo": {"reasoning": scores(0, 1)}, "rm": {"reasoning": scores(30, 32)}})
    assert d.checkpoint == "dpo"
    assert "would show a lead of 2 points, if there is one, of rm 4 times in 5" in d.sentence


@pytest.mark.parametrize(
    ("family", "words"),
    [("auto", "among 2"), ("max-t", "among 2"), ("bh", "by Benjamini-Hochberg among 2"),
     ("holm", "not corrected for 2"), ("none", "not corrected for 2")],
)  # fmt: skip
def test_the_sentence_says_what_the_p_value_is_corrected_for(tmp_path: Path, family: str, words: str) -> None:
    d = decision(tmp_path, {"dpo": {"reasoning": scores(60)}, "ppo": {"reasoning": scores(5)}}, family=family)
    assert f"(p <0.001 {words} candidates" in d.sentence


def test_a_skill_that_the_gate_cannot_decide_has_its_reason_and_no_drop(tmp_path: Path) -> None:
    half: list[float | None] = [*scores(90)[:-20], *([None] * 20)]
    store_scores(tmp_path, "dpo", "reasoning", half)
    store_scores(tmp_path, "sft", "reasoning", scores(0))
    sentence = decide(compare(tmp_path, "sft")).sentence
    assert "the gate does not decide on reasoning (20 of 200 samples have no score)" in sentence
    assert "ruled out" not in sentence, "the interval is above 0"


def test_nothing_is_decided_where_every_candidate_lacks_a_task(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "safety", scores(0))
    d = decision(tmp_path, {"dpo": {"reasoning": scores(99)}})
    assert (d.outcome, d.checkpoint) == ("undecided", None)
    assert d.sentence == "Nothing is decided: dpo has no samples of safety."


def test_nothing_is_decided_without_a_candidate_or_a_common_item(tmp_path: Path) -> None:
    store_scores(tmp_path / "alone", "sft", "reasoning", scores(0))
    assert decide(compare(tmp_path / "alone", "sft")).sentence == (
        "Nothing is decided: there is no checkpoint to compare with sft."
    )
    for name in ("sft", "dpo"):
        store_scores(tmp_path / "empty", name, "reasoning", [None, None])
    assert decide(compare(tmp_path / "empty", "sft")).outcome in ("undecided", "none better")


def test_refused_results_have_no_decision_and_allowed_ones_say_so(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "reasoning", scores(0))
    odd = about("reasoning", "reasoning", inputs={"prompts": "other"})
    store(tmp_path, "dpo", odd, [sample(i, s) for i, s in enumerate(scores(60))])
    with pytest.raises(SkilldeltaError) as refusal:
        compare(tmp_path, "sft")
    name = str(refusal.value).split("--allow ")[1].split()[0].strip("`.,'\"")
    comparison = compare(tmp_path, "sft", ComparisonSettings(allow=(name,)))
    check(comparison)
    assert "all this under allowed differences: " in decide(comparison).sentence


@pytest.mark.parametrize("k", [1, 2, 7, pytest.param(100, marks=pytest.mark.slow)])
def test_any_number_of_candidates_has_one_short_sentence(tmp_path: Path, k: int) -> None:
    rng = np.random.default_rng(k)
    for i in range(k):
        rates = {"reasoning": float(rng.uniform(0.3, 0.7)), "coding": float(rng.uniform(0.3, 0.7))}
        store_rates(tmp_path, f"dpo@{100 * (i + 1)}", rates, "dpo", 100 * (i + 1))
    store_rates(tmp_path, "sft", {"reasoning": 0.5, "coding": 0.5})
    comparison = compare(tmp_path, "sft")
    check(comparison)
    d = decide(comparison)
    assert "\n" not in d.sentence
    assert len(d.sentence) < 900
    ordered = order_by_decision(comparison)
    assert tuple(ordered.checkpoints) == ("sft", *d.order)
    assert decide(ordered) == replace(d, order=decide(ordered).order)
    assert sorted(map(id, ordered.rows)) == sorted(map(id, comparison.rows))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[st.integers(0, 40)] * 4), min_size=1, max_size=4), st.sampled_from([40, 120]))
def test_no_results_bring_the_sentence_and_the_verdicts_apart(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int, int, int]], items: int
) -> None:
    folder, most = tmp_path_factory.mktemp("any"), items // 2
    comparison = compared(
        folder,
        {
            f"dpo@{i}": {"a": scores(min(a, most), min(b, most), items), "b": scores(min(c, most), min(d, most), items)}
            for i, (a, b, c, d) in enumerate(changes)
        },
    )
    check(comparison)
    d = decide(comparison)
    if d.outcome == "ship" and d.checkpoint:
        alone = compare(folder, "sft", ComparisonSettings(candidates=(d.checkpoint,)))
        answer = gate(alone, d.checkpoint, Policy())
        assert answer.answer != "regression"
        open_skills = [r.name for r in answer.rule_results if r.answer == "inconclusive"]
        assert bool(open_skills) == ("not ruled out in" in d.sentence)
