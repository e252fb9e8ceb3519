"""Tasks over the same rows: who shares them, and what that does to the interval of their mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import harness
from harness.comparison.load import load_results
from harness.comparison.result import Row
from harness.comparison.shared_rows import RowRegistry, connect_tasks, number_rows
from harness.store import Results
from harness.types import Example
from tests.support.results_folder import about, sample, store

N = 120


def store_readings(folder: Path, data: tuple[str, str], seed: int = 0) -> Path:
    """Two tasks of a skill, whose changes are the same row by row."""
    rng = np.random.default_rng(seed)
    old = (rng.random(N) < 0.5).astype(float)
    new = np.where(rng.random(N) < 0.2, 1 - old, old)
    for name, scores in (("sft", old), ("dpo", new)):
        for task, rows in zip(("mc1", "mc2"), data, strict=True):
            store(
                folder, name, about(task, "truth", inputs={"data": rows}), [sample(i, float(s)) for i, s in enumerate(scores)]
            )
    return folder


def width(row: Row) -> float:
    assert row.difference
    return row.difference.delta_high - row.difference.delta_low


def test_the_mean_of_two_readings_of_the_same_rows_is_as_uncertain_as_one_of_them(tmp_path: Path) -> None:
    comparison = harness.compare(store_readings(tmp_path, ("rows", "rows")), "sft")
    task, skill = comparison.row("dpo", "task", "mc1"), comparison.row("dpo", "skill", "truth")
    assert width(skill) == pytest.approx(width(task), rel=1e-6)
    assert skill.score_high - skill.score_low == pytest.approx(task.score_high - task.score_low, rel=1e-6)
    assert skill.difference is not None
    assert task.difference is not None
    assert skill.difference.p == pytest.approx(task.difference.p, abs=0.03)  # sign flips of rows: McNemar's own test
    assert any("mc1 and mc2 share rows" in note for note in comparison.caveats)


def test_tasks_over_different_rows_are_independent(tmp_path: Path) -> None:
    comparison = harness.compare(store_readings(tmp_path, ("some rows", "other rows")), "sft")
    task, skill = comparison.row("dpo", "task", "mc1"), comparison.row("dpo", "skill", "truth")
    assert width(skill) == pytest.approx(width(task) / 2**0.5, rel=0.01)
    assert not any("share rows" in note for note in comparison.caveats)


def test_problems_that_two_files_write_otherwise_are_matched_by_their_number(tmp_path: Path) -> None:
    """MBPP's 974 rows and MBPP+'s 378 of them have other columns, and MBPP+ writes "Mbpp/7" for 7."""
    for task, written, numbers in (
        ("mbpp", "{}", range(20)),
        ("mbpp_plus", "Mbpp/{}", range(5, 15)),
        ("gsm8k", "{}", range(20)),
    ):
        rows = {i: Example({"task_id": written.format(i), "columns of": task}) for i in numbers}
        Results.make(tmp_path).keep(task, rows.values())
        for name in ("sft", "dpo"):
            samples = [sample({"task_id": written.format(i), "columns of": task}, float(i % 2)) for i in numbers]
            store(tmp_path, name, about(task, "coding"), samples)
    results = load_results([tmp_path], "sft")
    numbers_by_task = number_rows(results)
    assert numbers_by_task.groups == [["gsm8k"], ["mbpp", "mbpp_plus"]]
    assert set(numbers_by_task.numbers["mbpp_plus"]) < set(numbers_by_task.numbers["mbpp"])
    assert len(set(numbers_by_task.numbers["mbpp"])) == 20


def test_two_rows_of_one_task_never_get_one_number() -> None:
    registry = RowRegistry()
    assert list(registry.register([["a"], ["b"]])) == [0, 1]
    assert list(registry.register([["a", "b"], ["b"], ["c"]])) == [0, 1, 2]


def test_tasks_are_connected_over_others() -> None:
    assert connect_tasks(["a", "b", "c", "d"], [{"a", "c"}, {"c", "d"}]) == [["a", "c", "d"], ["b"]]


def test_drawn_p_values_and_the_best_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scores = {name: rng.random(60) for name in ("sft", "dpo", "ppo")}
    contents = []
    for turn, order in enumerate((range(60), rng.permutation(60))):
        for name, values in scores.items():
            store(tmp_path / str(turn), name, about("chat", "chat"), [sample(int(i), float(values[i])) for i in order])
        content = harness.compare(tmp_path / str(turn), "sft").json()
        contents.append((content["rows"], content["best"]))
    for one, other in zip(*contents, strict=True):
        for left, right in zip(one, other, strict=True):
            assert left == pytest.approx(right) if not isinstance(left, dict) else same(left, right)


def same(left: dict[str, object], right: dict[str, object]) -> bool:
    numbers = {k: v for k, v in left.items() if isinstance(v, float)}
    assert numbers == pytest.approx({k: right[k] for k in numbers})
    return left.keys() == right.keys()
