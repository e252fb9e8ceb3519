"""The statistics keep their promises in simulation: a small part of `make calibrate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import harness
from tests.bench.calibrate import PARTS
from tests.bench.rates import PromiseLine
from tests.support.results_folder import about, sample, store, store_scores

RUNS = 120


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_promises_are_kept(part: Callable[[int], Iterator[PromiseLine]]) -> None:
    broken_lines = [line.text() for line in part(RUNS) if not line.holds]
    assert not broken_lines


def test_a_broken_promise_is_seen() -> None:
    assert not PromiseLine("false alarm", "of a test that is too bold", rate=0.08, error=0.005, low=0.0, high=0.05).holds
    assert not PromiseLine("coverage", "of an interval that is too short", rate=0.90, error=0.005, low=0.93, high=0.97).holds


@pytest.mark.slow
def test_whole_comparisons_of_equals_rarely_find_anything(tmp_path: Path) -> None:
    """Three checkpoints no better than the baseline, three skills of different kinds: any verdict is a false alarm."""
    runs, alarms = 40, 0
    for run in range(runs):
        folder = tmp_path / str(run)
        rng = np.random.default_rng(run)
        easy = {"gsm8k": rng.beta(1, 1, 120), "mbpp": rng.beta(1, 1, 30), "qa": rng.beta(2, 2, 80)}
        for name in ("sft", "a", "b", "c"):
            store_scores(folder, name, "gsm8k", [float(rng.random() < p) for p in easy["gsm8k"]], "reasoning")
            store_scores(folder, name, "qa", [float(np.clip(p + rng.normal(0, 0.2), 0, 1)) for p in easy["qa"]], "facts")
            draws = [sample(i, float(rng.random() < p), draw=d) for i, p in enumerate(easy["mbpp"]) for d in range(5)]
            store(folder, name, about("mbpp", "coding"), draws)
        comparison = harness.compare(folder, "sft", draws=999)
        alarms += any(r.difference and r.difference.verdict in ("better", "worse") for r in comparison.at("skill"))
    assert alarms <= 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5
