"""Recipes compared from stored results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import harness
from harness.cli import main
from harness.comparison import recipes
from harness.types import SkilldeltaError
from tests.support.results_folder import about, sample, store, store_scores


def test_recipes_are_compared_from_stored_results(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for name, merit in (("a1", 0.5), ("a2", 0.52), ("b1", 0.7), ("b2", 0.73), ("b3", 0.7)):
        store_scores(tmp_path, name, "gsm8k", list((rng.random(300) < merit).astype(float)), "reasoning")
        store_scores(tmp_path, name, "mmlu", list((rng.random(200) < 0.4).astype(float)), "facts")
    lines = recipes.compare_recipes([tmp_path], {"dpo": ["a1", "a2"], "ppo": ["b1", "b2", "b3"]})
    contrasts = {(line.level, line.name): line.contrast for line in lines}
    assert set(contrasts) == {
        ("task", "gsm8k"),
        ("task", "mmlu"),
        ("skill", "reasoning"),
        ("skill", "facts"),
        ("average", "average"),
    }
    assert contrasts["task", "gsm8k"].delta == pytest.approx(0.2, abs=0.08)
    assert contrasts["average", "average"].delta == pytest.approx(
        (contrasts["task", "gsm8k"].delta + contrasts["task", "mmlu"].delta) / 2
    )
    assert contrasts["skill", "reasoning"] == contrasts["task", "gsm8k"]


def test_a_recipe_with_a_single_run_says_so(tmp_path: Path) -> None:
    for name in ("a", "b"):
        store_scores(tmp_path, name, "gsm8k", [0.0, 1.0] * 20)
    (line, *_) = recipes.compare_recipes([tmp_path], {"dpo": ["a"], "ppo": ["b"]})
    assert line.contrast.caveat.startswith("There is one run of dpo and of ppo")
    with pytest.raises(SkilldeltaError, match="Two recipes"):
        recipes.compare_recipes([tmp_path], {"dpo": ["a"]})


def test_a_task_without_a_common_item_is_left_out_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sft", "dpo"):
        store_scores(tmp_path, name, "reasoning", [1.0, 0.0, 1.0])
    store_scores(tmp_path, "sft", "safety", [1.0, None])
    store_scores(tmp_path, "dpo", "safety", [None, 1.0])
    store_scores(tmp_path, "dpo", "coding", [1.0])
    rows = recipes.compare_recipes([tmp_path], {"a": ["sft"], "b": ["dpo"]})
    assert [(row.level, row.name) for row in rows] == [("task", "reasoning"), ("skill", "reasoning")]
    assert rows[0].left_out == (
        "coding is left out: sft have no samples of it.", "safety is left out: no item has a score of all checkpoints."
    )  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main(["recipes", str(tmp_path), "--recipe", "a=sft", "--recipe", "b=dpo"])
    assert not end.value.code
    assert "safety is left out" in "".join(capsys.readouterr())


def test_recipes_without_any_common_item_are_refused(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "safety", [1.0, None])
    store_scores(tmp_path, "dpo", "safety", [None, 1.0])
    with pytest.raises(SkilldeltaError, match=r"no task with an item .* safety is left out"):
        recipes.compare_recipes([tmp_path], {"a": ["sft"], "b": ["dpo"]})


@pytest.mark.parametrize(
    ("aggregate", "sizes"), [("macro", (1, 2, 30)), ("mean", (1, 1, 1, 1, 1, 1, 12, 12)), ("mean", (4,) * 12)]
)
def test_one_run_of_each_recipe_has_the_interval_that_a_comparison_shows(
    tmp_path: Path, aggregate: str, sizes: tuple[int, ...]
) -> None:
    """Groups of a macro mean, or clusters of a plain one, of these sizes; one sample has no score."""
    rng, part = np.random.default_rng(3), np.repeat(np.arange(len(sizes)), sizes)
    for name, share in (("sft", 0.9), ("dpo", 0.6)):
        right = (rng.random(len(part)) < share).astype(float)
        names: list[dict[str, str]] = [{"group" if aggregate == "macro" else "cluster": f"p{p}"} for p in part]
        samples = [sample(i, None if name == "dpo" and i == 5 else float(right[i]), **names[i]) for i in range(len(part))]
        store(tmp_path, name, about("passages", "reading", task={"aggregate": aggregate}), samples)
    (row, *_) = recipes.compare_recipes([tmp_path], {"sft": ["sft"], "dpo": ["dpo"]})
    difference = harness.compare(tmp_path, "sft").row("dpo", "task", "passages").difference
    assert difference is not None
    interval = row.contrast.interval
    assert 100 * row.contrast.delta == pytest.approx(difference.delta)
    assert (100 * interval.low, 100 * interval.high) == pytest.approx((difference.delta_low, difference.delta_high))


def test_the_mean_of_two_readings_of_the_same_rows_is_as_uncertain_as_one_of_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for name in ("sft-0", "sft-1", "dpo-0", "dpo-1"):
        scores = rng.random(60)
        for task in ("mc1", "mc2"):
            facts = about(task, "truth", inputs={"data": "the same rows"})
            store(tmp_path, name, facts, [sample(i, float(s)) for i, s in enumerate(scores)])
    rows = recipes.compare_recipes([tmp_path], {"sft": ["sft-0", "sft-1"], "dpo": ["dpo-0", "dpo-1"]})
    contrasts = {row.name: row.contrast for row in rows}
    assert contrasts["truth"].from_items == pytest.approx(contrasts["mc1"].from_items)
    assert contrasts["truth"].interval.low == pytest.approx(contrasts["mc1"].interval.low)


@pytest.mark.parametrize("shorter", ["a", "b"])
def test_samples_that_do_not_count_are_counted(tmp_path: Path, shorter: str) -> None:
    longer = "b" if shorter == "a" else "a"
    store_scores(tmp_path, longer, "gsm8k", [1.0] * 50)
    store_scores(tmp_path, shorter, "gsm8k", [1.0] * 20 + [None] * 10)  # 20 were not asked
    (row, *_) = recipes.compare_recipes([tmp_path], {"dpo": ["a"], "ppo": ["b"]})
    assert row.left_out == ("gsm8k: of 50 samples, 30 without a score of some checkpoint do not count.",)
