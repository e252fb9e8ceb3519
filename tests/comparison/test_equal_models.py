"""One model under two names is said, and a baseline that is compared with itself is a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.comparison.recipes import compare_recipes
from harness.records import CellRecord
from harness.store import Results
from harness.types import Checkpoint, SkilldeltaError
from tests.support.results_folder import about, sample

OLD, NEW = [1.0] * 60 + [0.0] * 40, [1.0] * 70 + [0.0] * 30
BASE = {"weights": "w1", "adapter": "", "tokenizer": "t1", "template": "c1"}


def store_model(
    folder: Path, name: str, scores: list[float], fingerprint: dict[str, str], run: str = "", step: int | None = None
) -> None:
    results = Results.make(folder)
    results.add(Checkpoint(name, f"runs/{name}", "trainer", run=run, step=step), fingerprint)
    cell = results.cell(name, "gsm8k")
    cell.write_record(CellRecord.from_json(about("gsm8k", "gsm8k")))
    cell.rewrite([sample(i, score) for i, score in enumerate(scores)])


def test_final_model_that_is_the_last_checkpoint_again_is_said_in_one_sentence(tmp_path: Path) -> None:
    store_model(tmp_path, "sft", OLD, BASE)
    for name, adapter in (("dpo@150", "a1"), ("dpo-final_model", "a1"), ("dpo@100", "a2")):
        store_model(tmp_path, name, NEW, BASE | {"adapter": adapter})
    comparison = harness.compare(tmp_path, "sft")
    notes = [c for c in comparison.caveats if "one model" in c]
    assert [n.partition(" are ")[0] for n in notes] == ["dpo-final_model and dpo@150"]
    assert not [w for w in comparison.warnings if "one model" in w]


def test_baseline_compared_with_itself_is_a_warning(tmp_path: Path) -> None:
    store_model(tmp_path, "sft", OLD, BASE)
    store_model(tmp_path, "dpo", OLD, BASE)
    store_model(tmp_path, "kto", NEW, BASE | {"weights": "w2"})
    assert [w for w in harness.compare(tmp_path, "sft").warnings if w.startswith("dpo and the baseline sft are one model")]


def test_equal_weights_with_another_template_or_without_known_weights_are_no_equal_models(tmp_path: Path) -> None:
    store_model(tmp_path, "sft", OLD, BASE)
    store_model(tmp_path, "chat", OLD, BASE | {"template": "c2"})
    for name in ("one", "two"):
        store_model(tmp_path, name, OLD, {"server": "s1"})
    comparison = harness.compare(tmp_path, "sft")
    assert not [n for n in (*comparison.caveats, *comparison.warnings) if "one model" in n]


def test_a_run_is_counted_once_in_a_recipe(tmp_path: Path) -> None:
    """Twice the same run would look like two runs that agree: no variance of runs, and a certainty that nobody has."""
    store_model(tmp_path, "sft", OLD, BASE)
    for name, adapter, run, step in (
        ("a@1", "a1", "a", 1),
        ("a@2", "a2", "a", 2),
        ("a-final", "a2", "", None),
        ("b@2", "b", "b", 2),
    ):
        store_model(tmp_path, name, NEW, BASE | {"adapter": adapter}, run, step)
    for runs, reason in (
        (["a@2", "a@2"], "a@2 is named twice"),
        (["b@2", "sft"], "sft is named twice"),
        (["a@2", "b@2", "a-final"], "a@2 and a-final are one model"),
        (["a@1", "a@2", "b@2"], r"a@1 and a@2 are steps of one run \(a\)"),
    ):
        with pytest.raises(SkilldeltaError, match=reason):
            compare_recipes([tmp_path], {"before": ["sft"], "after": runs})
    rows = compare_recipes([tmp_path], {"before": ["sft"], "after": ["a@2", "b@2"]})
    assert {row.name for row in rows} == {"gsm8k", "average"}
