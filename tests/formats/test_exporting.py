"""Stored results in other programs' formats: what comes back is what was stored."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from harness.interchange.export_results import export_results
from harness.interchange.import_logs import import_logs
from harness.store import Results
from harness.types import Sample, SkilldeltaError
from tests.support.results_folder import about, sample, store, store_scores
from tests.test_cli import skilldelta

SCORES = [1.0, 0.0, None, 1.0, 1.0]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store_scores(tmp_path / "r", "sft", "gsm8k", SCORES, "reasoning")
    store_scores(tmp_path / "r", "run/dpo", "gsm8k", [0.0, 0.0, 1.0, 1.0, 0.25], "reasoning")
    macro = about("bbh", "reasoning", task={"aggregate": "macro"})
    store(tmp_path / "r", "sft", macro, [sample(i, float(i == 0), group="navigate" if i < 3 else "snarks") for i in range(4)])
    return tmp_path / "r"


def back(exported: Path, folder: Path, checkpoint: str, task: str) -> list[Sample]:
    assert all(o.state == "done" for o in import_logs([exported], Results.make(folder)))
    return list(Results(folder).cell(checkpoint, task).samples())


def test_lm_evals_layout_comes_back_with_the_same_scores(results: Path, tmp_path: Path) -> None:
    paths = export_results(results, "lm-eval", tmp_path / "out")
    assert {p.parent.name for p in paths} == {"sft", "run__dpo"}
    there = list(Results(results).cell("sft", "gsm8k").samples())
    found = back(tmp_path / "out", tmp_path / "b", "sft", "lm-eval:gsm8k")
    assert [(s.score.value, s.response.text) for s in found] == [(s.score.value, s.response.text) for s in there]


def test_a_macro_mean_is_a_group_whose_members_count_alike(results: Path, tmp_path: Path) -> None:
    paths = export_results(results, "lm-eval", tmp_path / "out", ["sft"])
    told = json.loads(paths[0].read_text())
    assert told["group_subtasks"] == {"bbh": ["bbh_navigate", "bbh_snarks"]}
    assert told["groups"]["bbh"]["score,none"] == pytest.approx((1 / 3 + 0) / 2)
    assert told["results"]["bbh_navigate"]["score,none"] == pytest.approx(1 / 3)
    assert told["results"]["gsm8k"]["score,none"] == 0.75  # of the four that have a score
    back(tmp_path / "out", tmp_path / "b", "sft", "lm-eval:bbh")
    assert Results(tmp_path / "b").cell("sft", "lm-eval:bbh").read().task.aggregate == "macro"


@pytest.mark.parametrize(("to", "lost"), [("lm-eval", ["xstest"]), ("nel", ["xstest", "bbh"]), ("csv", []), ("hub", [])])
def test_a_score_that_the_format_cannot_tell_is_said(
    results: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, to: str, lost: list[str]
) -> None:
    f1 = about("xstest", "safety", task={"aggregate": "f1", "positive": "unsafe"})
    store(results, "sft", f1, [sample(i, float(i == 0), group="unsafe" if i < 2 else "safe") for i in range(4)])
    export_results(results, to, tmp_path / "out")
    assert sorted(message.split(":")[0] for message in caplog.messages if "another score" in message) == sorted(lost)


def test_nemo_evaluators_bundle_pairs_by_content_and_has_no_record_without_a_reward(results: Path, tmp_path: Path) -> None:
    paths = export_results(results, "nel", tmp_path / "out")
    records = {p.parent: [json.loads(one) for one in p.read_text().splitlines()] for p in paths if p.name == "results.jsonl"}
    by_name = {f"{p.parent.name} {p.name}": [r["problem_idx"] for r in found] for p, found in records.items()}
    assert len(by_name["sft gsm8k"]) == 4
    assert set(by_name["sft gsm8k"]) < set(by_name["run%2Fdpo gsm8k"])
    bundles = {p.parent: json.loads(p.read_text()) for p in paths if p.name.startswith("eval-")}
    assert all(b["benchmark"]["name"] in ("gsm8k", "bbh") for b in bundles.values())
    (mine,) = [b for p, b in bundles.items() if (p.parent.name, p.name) == ("sft", "gsm8k")]
    assert mine["benchmark"]["scores"]["mean_reward"] == {"value": 0.75}
    assert mine["benchmark"]["scores"]["pass@1"] == {"value": 0.75}
    assert mine["n_unscored"] == 1
    found = back(tmp_path / "out", tmp_path / "b", "sft", "nel:gsm8k")
    assert [s.score.value for s in found] == [v for v in SCORES if v is not None]


def test_the_hubs_entries_are_read_back_by_its_own_library(results: Path, tmp_path: Path) -> None:
    from huggingface_hub import metadata_load, parse_eval_result_entries
    from huggingface_hub.repocard_data import model_index_to_eval_results

    export_results(results, "hub", tmp_path / "out", ["sft"])
    (entry,) = parse_eval_result_entries(
        yaml.safe_load((tmp_path / "out" / "sft" / ".eval_results" / "gsm8k.yaml").read_text())
    )
    assert (entry.dataset_id, entry.task_id, entry.value) == ("openai/gsm8k", "gsm8k", 75.0)
    assert "n = 4" in (entry.notes or "")
    assert "1 without a score" in (entry.notes or "")
    card = metadata_load(tmp_path / "out" / "sft" / "model-index.md")
    assert card is not None
    name, found = model_index_to_eval_results(card["model-index"])
    assert name == "sft"
    assert {(r.dataset_type, r.metric_type, r.metric_value) for r in found} == {
        ("openai/gsm8k", "score", 75.0), ("SaylorTwift/bbh", "score", 16.67),
    }  # fmt: skip


def test_a_task_of_no_known_data_set_stands_in_the_model_index_alone(tmp_path: Path) -> None:
    store_scores(tmp_path / "r", "sft", "world_sums", [1.0, 0.0])
    assert [p.name for p in export_results(tmp_path / "r", "hub", tmp_path / "out")] == ["model-index.md"]


def test_csv_has_a_row_for_each_score_and_each_sample_and_no_formula(tmp_path: Path) -> None:
    odd = '=HYPERLINK("http://x")\n"quoted", and more'
    cells = [sample(0, 1.0, text=odd), sample(1, None, text="-1.5", why="none"), sample(2, 0.0, text="plain")]
    store(tmp_path / "r", "sft", about("gsm8k", "reasoning"), cells)
    scores, samples = export_results(tmp_path / "r", "csv", tmp_path / "out")
    with scores.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["task"], float(row["value"]), row["n"], row["unscored"]) == ("gsm8k", 0.5, "2", "1")
    with samples.open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [r["response"] for r in found] == ["'" + odd, "-1.5", "plain"]
    assert [r["score"] for r in found] == ["1.0", "", "0.0"]


def test_nothing_is_written_over(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert skilldelta(capsys, "export", results, "--to", "csv", "-o", tmp_path / "out")[0] == 0
    code, _, told = skilldelta(capsys, "export", results, "--to", "csv", "-o", tmp_path / "out")
    assert code == 3
    assert "not empty" in told
    with pytest.raises(SkilldeltaError, match="There is no exporter 'xml'"):
        export_results(results, "xml", tmp_path / "out2")
    with pytest.raises(SkilldeltaError, match="There is no checkpoint 'ppo'"):
        export_results(results, "csv", tmp_path / "out2", ["ppo"])


@pytest.mark.parametrize("to", ["lm-eval", "hub", "nel", "csv"])
def test_names_that_a_format_takes_for_one_are_refused_and_nothing_is_left(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Sft", "sft"):
        store_scores(tmp_path / "r", name, "gsm8k", SCORES, "reasoning")
    fold = lambda name: name.lower()  # noqa: E731  as a file system that ignores case
    monkeypatch.setattr("harness.interchange.lm_eval_results.folder_name", fold)
    for module in ("hub", "nel"):
        monkeypatch.setattr(f"harness.formats.{module}.folder_name", fold)
    if to == "csv":  # one file for all checkpoints
        assert export_results(tmp_path / "r", to, tmp_path / "out")
        return
    with pytest.raises(SkilldeltaError, match="one file of this format"):
        export_results(tmp_path / "r", to, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export_results(tmp_path / "r", to, tmp_path / "out", ["sft"])


def test_names_that_lm_eval_writes_alike_are_not_mixed(tmp_path: Path) -> None:
    for name in ("org/m", "org__m"):
        store_scores(tmp_path / "r", name, "gsm8k", SCORES, "reasoning")
    with pytest.raises(SkilldeltaError, match="one file of this format"):
        export_results(tmp_path / "r", "lm-eval", tmp_path / "out")
    assert export_results(tmp_path / "r", "csv", tmp_path / "csv")


def test_a_task_without_any_score_is_not_published(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model that answered nothing has no score: .nan in a model card would stand as one."""
    store_scores(tmp_path / "r", "dpo", "gsm8k", [None, None])
    store_scores(tmp_path / "r", "dpo", "sums", [1.0, 0.0])
    store_scores(tmp_path / "r", "silent", "sums", [None])
    (index,) = export_results(tmp_path / "r", "hub", tmp_path / "out")
    assert yaml.safe_load(index.read_text().strip("-\n"))["model-index"][0]["results"][0]["dataset"]["name"] == "sums"
    assert "nan" not in index.read_text()
    assert "gsm8k" not in index.read_text()
    assert caplog.messages == [
        "dpo: no sample of gsm8k has a score, so that there is nothing to publish.",
        "silent: no sample of sums has a score, so that there is nothing to publish.",
    ]
