"""Decisions that may be looked at after every item: right as often as promised, and early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.comparison.replay import replay
from harness.statistics import mcnemar, sequential_test
from harness.statistics.aggregates import Design, Floats
from harness.statistics.sequential_test import SequentialPlan, cluster_differences, decide
from tests.bench import simulated
from tests.support.results_folder import store_scores


def pairs(n: int, discordance: float, delta: float, seed: int) -> Floats:
    return simulated.pairs(n, discordance, delta, np.random.default_rng(seed))


def verdicts(n: int, discordance: float, delta: float, runs: int, margin: float = 0.0) -> list[str]:
    return [decide(pairs(n, discordance, delta, seed), SequentialPlan(n, margin)).verdict for seed in range(runs)]


def test_capital_on_0_1_scores_is_the_likelihood_ratio_of_biased_coins_on_discordant_pairs() -> None:
    log_capital = sequential_test.log_capital(np.array([1.0, 0.0, -1.0, 1.0]), np.array([0.2]), 0.0)
    ratio = (0.6 / 0.5) ** 2 * (0.4 / 0.5)
    assert np.exp(log_capital[-1]) == pytest.approx(ratio)
    assert log_capital[0] == pytest.approx(log_capital[1])  # an agreeing pair changes nothing


@pytest.mark.slow
def test_equal_checkpoints_looked_at_after_every_item_are_told_apart_in_five_percent_at_most() -> None:
    wrong = sum(v in ("better", "worse") for v in verdicts(300, 0.2, 0.0, runs=600))
    assert wrong <= 43  # 5 % of 600, and two and a half standard errors


@pytest.mark.slow
def test_the_error_left_for_the_end_is_exact() -> None:
    plan, flips = SequentialPlan(40), 12
    by_hand = 0.0
    for pattern in range(2**flips):  # every sequence of coins
        coins = np.array([1.0 if pattern >> i & 1 else -1.0 for i in range(flips)])
        limit = np.log(2 / plan.alpha)
        hit = (sequential_test.log_capital(coins, plan.bets, 0.0) >= limit).any() or (
            sequential_test.log_capital(-coins, plan.bets, 0.0) >= limit
        ).any()
        by_hand += float(hit or abs(coins.sum()) >= 8) / 2**flips
    assert sequential_test.final_p(flips, 8, plan) == pytest.approx(by_hand)


def test_without_stopping_the_end_test_is_mcnemars() -> None:
    never = SequentialPlan(10_000, alpha=1e-9)  # the capital never gets there
    assert sequential_test.final_p(30, 14, never) == pytest.approx(mcnemar.exact_p(8, 22))


@pytest.mark.slow
def test_a_difference_of_five_points_is_found_with_under_half_of_the_items() -> None:
    decisions = [decide(pairs(1319, 0.15, 0.05, seed), SequentialPlan(1319)) for seed in range(40)]
    assert np.median([d.items_used for d in decisions]) < 0.4 * 1319
    assert sum(d.verdict == "better" for d in decisions) >= 38


@pytest.mark.slow
def test_equal_checkpoints_are_called_the_same_within_a_margin() -> None:
    labels = verdicts(2000, 0.05, 0.0, runs=20, margin=0.05)
    assert labels.count("same") >= 18


@pytest.mark.slow
def test_a_difference_of_the_margin_is_hardly_ever_called_the_same() -> None:
    assert verdicts(1000, 0.1, -0.03, runs=200, margin=0.03).count("same") <= 16


@pytest.mark.slow
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_turning_the_sides_round_turns_the_verdict_round(differences: list[float]) -> None:
    there, back = (decide(sign * np.array(differences), SequentialPlan(len(differences))) for sign in (1, -1))
    assert (there.verdict, back.verdict) in (("better", "worse"), ("worse", "better"), ("unclear", "unclear"), ("same", "same"))
    assert there.items_used == back.items_used
    assert (there.interval.low, there.interval.high) == pytest.approx((-back.interval.high, -back.interval.low))


@pytest.mark.slow
def test_the_interval_holds_the_truth_at_whatever_time_one_stops() -> None:
    hits = 0
    for seed in range(200):
        decision = decide(pairs(400, 0.3, 0.15, seed), SequentialPlan(400))
        hits += decision.interval.low <= 0.15 <= decision.interval.high
    assert hits >= 190


def test_weighted_items_have_the_tasks_own_mean() -> None:
    design = Design(np.arange(6) // 2, np.array([0, 0, 0, 0, 1, 1]), "macro")
    change = np.array([1.0, 0, -1, 0, 1, 1])
    items, scale = cluster_differences(change, design)
    assert np.abs(items).max() <= 1
    assert items.mean() * scale == pytest.approx((0.0 + 1.0) / 2)


def test_stored_results_are_replayed_and_the_saving_is_told(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", [0.0] * 200 + [1.0] * 200)
    store_scores(tmp_path, "dpo", "gsm8k", [0.0] * 100 + [1.0] * 300)
    (replayed_task,) = replay(tmp_path, "sft", "dpo", orders=5)
    assert {d.verdict for d in replayed_task.decisions} == {"better"}
    assert replayed_task.share_used < 0.3


@pytest.mark.slow
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0, float("nan")]), min_size=1, max_size=120), st.floats(0.02, 0.5))
def test_items_without_a_difference_are_as_if_they_were_not_there(differences: list[float], margin: float) -> None:
    whole = np.array(differences)
    scored = whole[~np.isnan(whole)]
    plan, plan_of_scored = SequentialPlan(len(whole), margin), SequentialPlan(len(scored), margin)
    vars(plan_of_scored).update(bets=plan.bets, margin_bets=plan.margin_bets)  # they depend on the number of items
    decision = decide(whole, plan)
    if not len(scored):
        assert decision.verdict == "unclear"
        return
    rest = decide(scored, plan_of_scored)
    assert (decision.verdict, decision.delta) == (rest.verdict, pytest.approx(rest.delta))
    assert decision.interval == rest.interval
    assert np.sum(~np.isnan(whole[: decision.items_used])) == rest.items_used


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([20, 100, 300]), st.floats(0, 0.5), st.floats(0, 1), st.booleans())
def test_no_decision_stands_against_its_interval(seed: int, items: int, discordance: float, gains: float, halves: bool) -> None:
    """The interval had smaller bets than the test: three of four decisions came with an interval that holds 0."""
    rng = np.random.default_rng(seed)
    changes = np.where(rng.random(items) < discordance, np.where(rng.random(items) < gains, 1.0, -1.0), 0.0)
    if halves:
        changes *= rng.choice([0.5, 1.0], items)
    plan = SequentialPlan(items, 0.05)
    decision = decide(changes, plan)
    low, high = decision.interval.low, decision.interval.high
    assert -1 <= low <= decision.delta + 1e-5
    assert decision.delta - 1e-5 <= high <= 1
    assert low < high
    assert (low > 0) or decision.verdict != "better"
    assert (high < 0) or decision.verdict != "worse"
    assert (low >= -0.05 and high <= 0.05) or decision.verdict != "same"
