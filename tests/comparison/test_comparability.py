"""Which results may be compared: equal settings, one model for each name, each cell once."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.records import CellRecord
from harness.store import Results
from harness.types import Checkpoint, SkilldeltaError
from tests.support.results_folder import about, sample, store, store_scores

OLD = [1.0] * 60 + [0.0] * 40


def test_results_that_were_not_made_alike_are_refused_with_both_sides_named(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    store(tmp_path, "dpo", about("gsm8k", "gsm8k", inputs={"prompts": "p2"}), [sample(i, s) for i, s in enumerate(OLD)])
    with pytest.raises(SkilldeltaError, match=r'gsm8k, inputs.prompts: baseline "p1", dpo "p2"') as error:
        harness.compare(tmp_path, "sft")
    assert "--allow inputs.prompts" in str(error.value)
    comparison = harness.compare(tmp_path, "sft", allow=["inputs.prompts"])
    assert comparison.accepted_differences == ('gsm8k, inputs.prompts: baseline "p1", dpo "p2"',)
    assert set(comparison.frame()["allowed"]) == {'gsm8k, inputs.prompts: baseline "p1", dpo "p2"'}


def test_refusal_of_another_version_of_a_task_names_the_verb_that_needs_no_model(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    store(tmp_path, "dpo", about("gsm8k", "gsm8k", task={"version": 7}), [sample(i, s) for i, s in enumerate(OLD)])
    with pytest.raises(
        SkilldeltaError, match=r"(?s)task\.version: baseline 1, dpo 7\n.*`skilldelta rescore RESULTS`.*--allow task"
    ):
        harness.compare(tmp_path, "sft")


def test_two_numbers_of_questions_are_refused_with_the_flag_that_made_them(tmp_path: Path) -> None:
    inputs = {"data": "d2", "examples": 50, "prompts": "p2"}
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    store(tmp_path, "dpo", about("gsm8k", "gsm8k", inputs=inputs), [sample(i, s) for i, s in enumerate(OLD[:50])])
    with pytest.raises(SkilldeltaError, match=r"(?s)dpo 50\n.*different numbers of questions: .* --limit, .* --allow inputs"):
        harness.compare(tmp_path, "sft")
    table = harness.compare(tmp_path, "sft", allow=["inputs"]).frame()
    assert set(table[table["checkpoint"] == "dpo"]["n"]) == {50}


def test_what_cannot_move_a_score_may_differ(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    facts = about("gsm8k", "gsm8k", task={"summary": "now better described"})
    store(tmp_path, "dpo", facts, [sample(i, s) for i, s in enumerate(OLD)])
    assert harness.compare(tmp_path, "sft").accepted_differences == ()


def test_an_allowed_difference_covers_what_lies_below_it_and_nothing_else(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "gsm8k", OLD)
    record = about("gsm8k", "gsm8k", backend={"backend": "openai", "dtype": "bfloat16"})
    store(tmp_path, "dpo", record, [sample(i, s) for i, s in enumerate(OLD)])
    assert len(harness.compare(tmp_path, "sft", allow=["backend"]).accepted_differences) == 2
    with pytest.raises(SkilldeltaError, match=r"backend\.dtype: baseline null, dpo \"bfloat16\""):
        harness.compare(tmp_path, "sft", allow=["backend.backend"])


def test_several_folders_are_one_comparison_and_a_cell_that_two_hold_is_refused(tmp_path: Path) -> None:
    for folder, name in (("a", "sft"), ("b", "dpo")):
        store_scores(tmp_path / folder, name, "gsm8k", OLD)
    assert set(harness.compare([tmp_path / "a", tmp_path / "b"], "sft").checkpoints) == {"sft", "dpo"}
    store_scores(tmp_path / "b", "sft", "gsm8k", OLD)
    with pytest.raises(SkilldeltaError, match="sft on gsm8k is in two results folders"):
        harness.compare([tmp_path / "a", tmp_path / "b"], "sft")


def test_two_models_of_one_name_in_two_folders_are_refused_and_one_model_in_two_is_whole(tmp_path: Path) -> None:
    for folder, task, weights in (("a", "gsm8k", "w1"), ("b", "bbh", "w1"), ("c", "mmlu", "w2")):
        results = Results.make(tmp_path / folder)
        for name in ("sft", "dpo"):
            results.add(Checkpoint(name, f"runs/{name}", "trainer"), {"weights": f"{name} {weights}", "outputs": task})
            cell = results.cell(name, task)
            cell.write_record(CellRecord.from_json(about(task, "reasoning")))
            cell.rewrite([sample(i, s) for i, s in enumerate(OLD)])
    both = harness.compare([tmp_path / "a", tmp_path / "b"], "sft")
    assert both.row("dpo", "skill", "reasoning").n == 200
    assert both.checkpoints["dpo"].elsewhere == (str(tmp_path / "b"),)
    with pytest.raises(
        SkilldeltaError, match=r"each hold a checkpoint named 'dpo', but not the same one: they differ in weights"
    ):
        harness.compare([tmp_path / "a", tmp_path / "c"], "sft")
