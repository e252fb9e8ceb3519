"""The best of many checkpoints: its corrected score, its interval, and the candidates it does not beat."""

from __future__ import annotations

import numpy as np
import pytest

from harness.statistics import best_of_many
from harness.statistics.aggregates import Floats
from tests.bench.simulated import candidate_pool


def equals(k: int, n: int, seed: int) -> Floats:
    """k checkpoints that are right half of the time, and nothing else."""
    return np.random.default_rng(seed).integers(0, 2, (k, n)).astype(float)


def test_the_highest_of_equals_is_flattered_and_the_correction_takes_it_back() -> None:
    selections = [best_of_many.select_best(candidate_pool(equals(12, 200, seed)), seed=seed) for seed in range(40)]
    assert np.mean([f.score for f in selections]) > 0.54
    assert np.mean([f.corrected_score for f in selections]) == pytest.approx(0.5, abs=0.012)


def test_the_interval_of_the_chosen_one_holds_its_true_score() -> None:
    intervals = [best_of_many.select_best(candidate_pool(equals(12, 200, seed))).interval for seed in range(60)]
    assert sum(i.low <= 0.5 <= i.high for i in intervals) >= 54


def test_equals_are_all_kept_and_the_clearly_worse_are_not() -> None:
    scores = np.vstack([equals(3, 400, 1), np.zeros((1, 400)), np.ones((0, 400))])
    selection = best_of_many.select_best(candidate_pool(scores))
    assert set(selection.equals) == {"0", "1", "2"}
    assert selection.probability.sum() == pytest.approx(1)
    assert selection.probability[3] == 0


def test_a_clear_winner_stands_alone() -> None:
    selection = best_of_many.select_best(candidate_pool(np.vstack([equals(4, 300, 2), np.ones((1, 300))])))
    assert (selection.best, selection.equals) == ("4", ("4",))
    assert selection.probability[4] == 1
    assert selection.corrected_score == pytest.approx(selection.score)


def test_the_true_best_is_among_those_that_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    merit = np.array([0.5, 0.52, 0.55, 0.56])
    hits = 0
    for _ in range(60):
        scores = (rng.random((4, 300)) < merit[:, None]).astype(float)
        hits += "3" in best_of_many.select_best(candidate_pool(scores)).equals
    assert hits >= 54


def test_twins_are_never_told_apart() -> None:
    scores = np.repeat(equals(1, 100, 3), 2, axis=0)
    assert best_of_many.select_best(candidate_pool(scores)).equals == ("0", "1")


def test_the_corrected_score_lies_within_its_interval_even_next_to_the_end_of_the_scale() -> None:
    """Next to 100 % one's own interval is short, while a half of the items without the other's two faults chooses the other."""
    scores = np.ones((49, 2))
    scores[0, 0], scores[1:3, 1] = 6 / 7, 0
    means = scores.mean(axis=0)
    choice = best_of_many.select_best(best_of_many.CandidatePool(["a", "b"], means, [(scores - means) / len(scores)]))
    assert choice.best == "a"
    assert choice.corrected_score < 0.99
    assert choice.interval.low <= choice.corrected_score <= choice.interval.high
