"""The race replayed on stored verdicts of real models: it ends where the whole matrix does, for a part of the answers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from harness.statistics.aggregates import Floats
from tests.bench.races import race_on, whole_matrix_set


@pytest.fixture
def verdicts(real_data: Path) -> Floats:
    """[1319, 4]: recorded verdicts of four models on GSM8K."""
    with gzip.open(real_data / "gsm8k" / "golden" / "example_model_solutions.jsonl.gz", "rt") as stream:
        rows = [json.loads(line) for line in stream]
    names = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    return np.array([[float(row[name]["is_correct"]) for name in names] for row in rows])


@pytest.mark.slow
def test_four_recorded_models_end_as_in_the_whole_matrix(verdicts: Floats) -> None:
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(verdicts)
        race, share = race_on([shuffled], [1.0])
        assert set(race.alive.tolist()) == whole_matrix_set([verdicts], [1.0]) == {3}
        assert share < 0.1


def test_forty_mixtures_of_recorded_answers_end_with_the_whole_matrix_for_less(verdicts: Floats) -> None:
    """A checkpoint on the way from the worst model to the best answers like the best one on a part of the items."""
    rng = np.random.default_rng(1)
    shares = np.array([1.0, 0.98, *np.linspace(0.0, 0.75, 38)])
    is_late = rng.random((len(verdicts), 1)) < shares
    scores = rng.permutation(np.where(is_late, verdicts[:, [3]], verdicts[:, [0]]))
    race, used = race_on([scores], [1.0])
    assert whole_matrix_set([scores], [1.0]) <= set(race.alive.tolist()) <= {0, 1}
    assert used < 0.15
