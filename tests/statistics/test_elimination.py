"""Successive elimination: who is lost, what it costs, and the allocation of items to rounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.elimination import Race, Round, plan_rounds, round_weights
from tests.bench.races import race_on, simulate_scores


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=5))
def test_every_item_is_asked_once_and_no_task_ends_before_the_others(sizes: list[int]) -> None:
    counts = plan_rounds(np.array(sizes))
    assert counts[0].tolist() == [0] * len(sizes)
    assert counts[-1].tolist() == sizes
    assert (np.diff(counts, axis=0) >= 1).all()
    assert len(counts) == min(sizes) + 1


def test_the_first_rounds_hold_one_item_of_each_task() -> None:
    assert np.diff(plan_rounds(np.array([164, 1319, 14042])), axis=0)[:3].tolist() == [[1, 1, 1]] * 3


def test_weights_of_a_round_are_shares_over_items_with_one_as_the_largest() -> None:
    weights = round_weights(np.array([0, 1, 1]), np.array([0.5, 0.25]))
    assert weights.tolist() == [1.0, 0.25, 0.25]


def test_no_bet_of_any_size_gains_on_average_against_the_best() -> None:
    """Over all outcomes of a round of two tasks, one up by what the other is down, the mean factor is at most 1."""
    for bet in (0.05, 0.3, 0.9):
        for weights, means in (((1.0, 1.0), (0.2, -0.2)), ((1.0, 0.25), (0.1, -0.4))):
            factors = [1 + bet * w * m for w, m in zip(weights, means, strict=True)]
            assert np.prod(factors) <= 1


def test_a_contestant_without_scores_is_no_difference_to_anybody() -> None:
    race = Race(3, np.array([50]), np.array([1.0]))
    for _ in range(50):
        race.advance(Round(np.array([[1.0, 0.0, np.nan]]), np.array([0])))
    assert race.alive.tolist() == [0, 2]
    assert race.leads()[0, 1] == 1
    assert race.leads()[0, 2] == 0
    assert race.lead_when_left[1] == 1


def test_equal_contestants_stay_and_the_race_ends_before_all_is_asked() -> None:
    scores = [np.tile((np.arange(400) % 3 > 0).astype(float)[:, None], (1, 6))]
    race, _ = race_on(scores, [1.0])
    assert race.alive.tolist() == list(range(6))
    assert race.rounds < 400


@pytest.mark.parametrize("sizes", [[300], [40, 300, 90]])
def test_who_is_far_behind_leaves_early_and_the_best_stays(sizes: list[int]) -> None:
    rng = np.random.default_rng(len(sizes))
    scores = simulate_scores(sizes, [0, 0.01, *[0.4] * 8], rng)
    race, share = race_on(scores, [1 / len(sizes)] * len(sizes))
    assert set(race.alive) <= {0, 1}
    assert 0 in race.alive
    assert share < 0.5
