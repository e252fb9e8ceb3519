"""The best of many checkpoints: its corrected score, its interval, and the candidates it does not beat."""

from __future__ import annotations

import numpy as np
import pytest

from harness.statistics import best_of_many
from harness.statistics.aggregates import Design, Floats
from harness.statistics.best_of_many import CandidatePool, PoolTask
from harness.statistics.estimate import estimate_score
from harness.statistics.paired import paired_difference
from tests.bench.simulated import candidate_pool
from tests.support.unequal_designs import UNEQUAL


def equals(k: int, n: int, seed: int) -> Floats:
    """k checkpoints that are right half of the time, and nothing else."""
    return np.random.default_rng(seed).integers(0, 2, (k, n)).astype(float)


@pytest.mark.slow
def test_the_highest_of_equals_is_flattered_and_the_correction_takes_it_back() -> None:
    selections = [best_of_many.select_best(candidate_pool(equals(12, 200, seed)), seed=seed) for seed in range(40)]
    assert np.mean([f.score for f in selections]) > 0.54
    assert np.mean([f.corrected_score for f in selections]) == pytest.approx(0.5, abs=0.012)


@pytest.mark.slow
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


@pytest.mark.slow
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
    task = best_of_many.PoolTask.of_items((scores - means) / len(scores))
    choice = best_of_many.select_best(best_of_many.CandidatePool(["a", "b"], means, [task]))
    assert choice.best == "a"
    assert choice.corrected_score < 0.99
    assert choice.interval.low <= choice.corrected_score <= choice.interval.high


@pytest.mark.parametrize("name", UNEQUAL)
def test_a_single_candidate_has_its_own_interval(name: str) -> None:
    scores = (np.random.default_rng(8).random((1, len(UNEQUAL[name].cluster))) < 0.7).astype(float)
    choice = best_of_many.select_best(candidate_pool(scores, UNEQUAL[name]))
    own = estimate_score(scores[0], UNEQUAL[name])
    assert choice.interval == own.interval
    assert choice.equals == ("0",)
    assert choice.probability.tolist() == [1.0]
    assert choice.corrected_score == pytest.approx(own.score, abs=0.02)


@pytest.mark.parametrize("name", UNEQUAL)
def test_the_error_of_a_gap_is_that_of_the_paired_difference(name: str) -> None:
    """Of 0/1 scores both have one whole change a side more."""
    design = UNEQUAL[name]
    scores = (np.random.default_rng(9).random((2, int(design.clusters.max()) + 1)) < 0.6).astype(float)[:, design.clusters]
    errors = best_of_many.bootstrap_errors(candidate_pool(scores, design))
    pair = paired_difference(scores[0], scores[1], design)
    assert np.var(errors[:, 1] - errors[:, 0]) == pytest.approx(pair.variance, rel=0.25)


@pytest.mark.slow
def test_the_true_best_is_not_lost_where_a_single_item_is_a_third_of_the_score() -> None:
    """With one weight for all items the best of three was lost in a third of runs."""
    design, rng, left = UNEQUAL["macro of small groups"], np.random.default_rng(10), 0
    for run in range(40):
        scores = (rng.random((3, 53)) < np.array([[0.6], [0.5], [0.5]])).astype(float)
        left += "0" in best_of_many.select_best(candidate_pool(scores, design), seed=run).equals
    assert left >= 37


def test_the_halves_of_a_stratum_are_halves_and_add_up_to_nothing() -> None:
    design = Design(np.arange(9), np.repeat(np.arange(3), (1, 4, 4)), "macro")
    (task,) = candidate_pool(np.random.default_rng(11).random((2, 9)), design).tasks
    for seed in range(5):
        halves = best_of_many.score_halves(task, np.random.default_rng(seed))
        assert halves.sum(axis=0) == pytest.approx(0, abs=1e-12)  # each stratum lies half in either


def test_tasks_over_the_same_rows_are_one_task() -> None:
    scores = np.random.default_rng(12).random((3, 40))
    influences = (scores - scores.mean(axis=1, keepdims=True)).T / 40
    units = np.arange(40)
    whole, first, second = (PoolTask.of_items(share * influences, share, units) for share in (1.0, 0.5, 0.5))
    last = PoolTask.of_items(influences, 1.0, units + 40)
    names, means = ["a", "b", "c"], scores.mean(axis=1)
    once, twice = CandidatePool(names, means, [whole]), CandidatePool(names, means, [first, second])
    assert best_of_many.bootstrap_errors(twice) == pytest.approx(best_of_many.bootstrap_errors(once), abs=1e-6)
    assert best_of_many.cross_fit_score(twice) == pytest.approx(best_of_many.cross_fit_score(once))
    assert [len(b.influences) for b in CandidatePool(names, means, [first, last, second]).blocks()] == [40, 40]
    linked = PoolTask.of_items(np.repeat(influences, 2, axis=0), 1.0, np.arange(80))
    assert [len(b.influences) for b in CandidatePool(names, means, [first, last, linked]).blocks()] == [80]


@pytest.mark.filterwarnings("error")
def test_an_f1_without_positives_leaves_everyone_and_everything_possible() -> None:
    scores = np.array([[1.0, 0, 1, 1], [1.0, 1, 1, 1], [0.0, 0, 0, 1]])
    choice = best_of_many.select_best(candidate_pool(scores, Design(np.arange(4), np.ones(4, np.int64), "f1", 0)))
    assert choice.equals == ("0", "1", "2")
    assert (choice.interval.low, choice.interval.high) == (0, 1)
