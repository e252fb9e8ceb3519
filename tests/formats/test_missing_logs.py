"""What a log names and cannot be read is a failure with its reason; facts of a task never depend on one model's values."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.evaluation.outcome import Outcome
from harness.interchange.import_logs import import_logs
from harness.interchange.import_options import ImportOptions
from harness.interchange.untrusted_files import UntrustedFile
from harness.store import Results
from harness.types import SkilldeltaError
from tests.formats.test_importing import inspect_log, inspect_sample, put
from tests.support.lm_eval_run import line, write
from tests.test_cli import skilldelta

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a" * 16 + "\nsize 71680\n"


def brought(*paths: Path, to: Path, **choices: Any) -> dict[str, Outcome]:
    return {f"{o.checkpoint}/{o.task}": o for o in import_logs(paths, Results.make(to), ImportOptions(**choices))}


def two_tasks(folder: Path, name: str = "org/m", **more: Any) -> Path:
    """A log of the tasks sums and rivers, each of two documents; gives the samples of rivers."""
    lines = [line(i, {"acc": float(i)}) for i in range(2)]
    write(folder, "sums", lines, {"acc,none": 0.5}, model_name=name)
    (results,) = folder.glob("results_*.json")
    one = json.loads(results.read_text())
    write(folder, "rivers", lines, {"acc,none": 0.5}, model_name=name)
    both = json.loads(results.read_text())
    for part in ("results", "n-samples", "configs", "versions", "n-shot"):
        both[part] = {**one.get(part, {}), **both.get(part, {})}
    results.write_text(json.dumps(both | more))
    (samples,) = folder.glob("samples_rivers_*")
    return samples


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda f: f.write_text(POINTER),
            r"samples_rivers_.* is a Git LFS pointer, not the data: fetch it with `git lfs pull`",
        ),
        (lambda f: f.write_text(""), "is empty: was the run interrupted"),
        (lambda f: f.write_text(f.read_text()[:-60]), "is not JSON"),
        (lambda f: f.write_text(f.read_text().splitlines(keepends=True)[0]), "holds 1 of 2 samples"),
        (lambda f: f.unlink(), "names rivers, and no file of its samples is with it"),
    ],
)
def test_a_task_whose_samples_cannot_be_read_is_a_failure_with_its_reason(tmp_path: Path, damage: Any, reason: str) -> None:
    damage(two_tasks(tmp_path / "m"))
    outcomes = brought(tmp_path / "m", to=tmp_path / "r")
    assert {name: o.state for name, o in outcomes.items()} == {"org/m/lm-eval:sums": "done", "org/m/lm-eval:rivers": "failed"}
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(outcomes["org/m/lm-eval:rivers"].why)
    record = Results(tmp_path / "r").cell("org/m", "lm-eval:rivers").read()
    assert (record.state, record.why) == ("failed", outcomes["org/m/lm-eval:rivers"].why)


def test_what_was_missing_can_be_imported_later(tmp_path: Path) -> None:
    samples = two_tasks(tmp_path / "m")
    content = samples.read_text()
    samples.write_text(POINTER)
    brought(tmp_path / "m", to=tmp_path / "r")
    samples.write_text(content)
    outcomes = brought(tmp_path / "m", to=tmp_path / "r")
    assert {name: o.state for name, o in outcomes.items()} == {"org/m/lm-eval:sums": "already", "org/m/lm-eval:rivers": "done"}
    assert {r.state for _, r, _ in Results(tmp_path / "r").cells()} == {"done"}
    samples.write_text(POINTER)
    assert brought(tmp_path / "m", to=tmp_path / "r")["org/m/lm-eval:rivers"].state == "failed"
    assert Results(tmp_path / "r").cell("org/m", "lm-eval:rivers").read().state == "done"


def test_a_gate_never_passes_over_a_task_that_could_not_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("base", "cand"):
        samples = two_tasks(tmp_path / name, name)
        samples.write_text(POINTER if name == "cand" else samples.read_text())
    code, _, told = skilldelta(capsys, "import", tmp_path / "base", tmp_path / "cand", "-o", tmp_path / "r")
    assert code == 4
    assert "git lfs pull" in told
    code, out, _ = skilldelta(capsys, "gate", tmp_path / "r", "--baseline", "base", "--candidate", "cand", "--max-drop", "99")
    assert code == 2
    assert "inconclusive" in out


@pytest.mark.slow
def test_a_task_without_a_score_for_each_item_is_named_by_every_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("base", "cand"):
        pairs = [line(i, {"acc": float(i)}) for i in range(2)]
        write(tmp_path / name / "sums", "sums", pairs, {"acc,none": 0.5}, model_name=name)
        texts = [line(i, {"word_perplexity": [-90.0 - i, 40]}) for i in range(2)]
        write(tmp_path / name / "wiki", "wiki", texts, {"word_perplexity,none": 9.8}, model_name=name)
    code, _, told = skilldelta(capsys, "import", tmp_path / "base", tmp_path / "cand", "-o", tmp_path / "r")
    assert code == 4
    assert "it has: word_perplexity" in told
    record = Results(tmp_path / "r").cell("base", "lm-eval:wiki").read()
    assert record.state == "not comparable"
    pair = ["--baseline", "base", "--candidate", "cand"]
    for verb in ("compare", "gate"):
        code, out, notes = skilldelta(capsys, verb, tmp_path / "r", *pair, *(["--max-drop", "100"] if verb == "gate" else []))
        assert code == 0, "what no two models can be compared by decides nothing"
        assert "base, cand on lm-eval:wiki have no samples (not comparable: no metric under none is the mean" in out + notes


@pytest.mark.parametrize("content", [POINTER, "", '{"eval": {"task": "sums"', "nothing"])
def test_a_file_that_nobody_can_read_is_named_beside_those_that_could_be(tmp_path: Path, content: str) -> None:
    put(tmp_path / "logs" / "whole.json", inspect_log([inspect_sample(1, "C")]))
    (tmp_path / "logs" / "cut.json").write_text(content)
    (tmp_path / "logs" / "notes.txt").write_text("not a log")
    put(tmp_path / "logs" / "settings.json", {"hello": 1})
    outcomes = list(brought(tmp_path / "logs", to=tmp_path / "r").values())
    assert [(o.task, o.state) for o in outcomes] == [("inspect:sums", "done"), ("unknown format", "failed")]
    assert "cut.json" in outcomes[1].why


def test_pointers_of_parquet_and_zip_files_are_called_pointers(tmp_path: Path) -> None:
    for name in ("details_mmlu|5_2026-01-02T03-04-05.000006.parquet", "log.eval"):
        (tmp_path / name).write_text(POINTER)
        (outcome,) = brought(tmp_path / name, to=tmp_path / "r").values()
        assert "git lfs pull" in outcome.why
    assert "git lfs pull" in UntrustedFile(tmp_path / "log.eval").problem


def test_recorded_outputs_that_are_a_pointer_are_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "outputs.jsonl").write_text(POINTER)
    code, _, told = skilldelta(
        capsys, "score", "--recorded", tmp_path / "outputs.jsonl", "-t", "world_sums", "--name", "x", "-o", tmp_path / "r"
    )
    assert code == 4
    assert "git lfs pull" in told


def old_layout(folder: Path, filters: list[str]) -> Path:
    """What lm-eval 0.4.0 to 0.4.2 write: results.json, and ARGUMENTS_TASK.jsonl, one indented list without filters' names."""
    values = {name: [float(i == 0 and place == 0) for i in range(2)] for place, name in enumerate(filters)}
    documents = []
    for scores in values.values():
        for i, score in enumerate(scores):
            documents.append({
                "doc_id": i, "doc": {"question": f"{i}?"}, "target": "1", "arguments": [[f"Q: {i}", {"until": ["\n"]}]],
                "resps": [["so 1"]], "filtered_resps": ["1"], "exact_match": score,
            })  # fmt: skip
    folder.mkdir()
    (folder / "pretrained__gpt2,dtype__float_sums_cot.jsonl").write_text(json.dumps(documents, indent=2))
    metrics = [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]
    (folder / "results.json").write_text(json.dumps({
        "results": {"sums_cot": {"alias": "sums_cot", **{f"exact_match,{n}": sum(v) / 2 for n, v in values.items()}}},
        "configs": {"sums_cot": {"task": "sums_cot", "metric_list": metrics, "filter_list": [{"name": n} for n in filters]}},
        "versions": {"sums_cot": 2.0}, "n-shot": {"sums_cot": 8},
        "config": {"model": "hf", "model_args": "pretrained=gpt2,dtype=float", "batch_size": "1"}, "git_hash": "abc",
    }))  # fmt: skip
    return folder


def test_the_layout_before_0_4_3_is_read_under_every_filter(tmp_path: Path) -> None:
    outcomes = brought(old_layout(tmp_path / "m", ["strict-match", "flexible-extract"]), to=tmp_path / "r")
    assert {name: o.state for name, o in outcomes.items()} == {
        "gpt2/lm-eval:sums_cot@strict-match": "done", "gpt2/lm-eval:sums_cot@flexible-extract": "done"
    }  # fmt: skip
    for name, scores in (("strict-match", [1.0, 0.0]), ("flexible-extract", [0.0, 0.0])):
        cell = Results(tmp_path / "r").cell("gpt2", f"lm-eval:sums_cot@{name}")
        assert [s.score.value for s in cell.samples()] == scores
    one = brought(old_layout(tmp_path / "single", ["only"]), to=tmp_path / "r2")
    assert [o.state for o in one.values()] == ["done"]


def test_a_list_in_one_line_is_read_as_an_indented_one(tmp_path: Path) -> None:
    log = old_layout(tmp_path / "m", ["only"])
    (samples,) = log.glob("*_sums_cot.jsonl")
    samples.write_text(json.dumps(json.loads(samples.read_text())))
    assert [o.state for o in brought(log, to=tmp_path / "r").values()] == ["done"]


@pytest.mark.parametrize(("content", "reason"), [(POINTER, "git lfs pull"), ("", "is empty"), ("[\n {", "is not JSON")])
def test_the_older_names_of_samples_that_cannot_be_read_give_the_task_its_reason(
    tmp_path: Path, content: str, reason: str
) -> None:
    log = old_layout(tmp_path / "m", ["only"])
    (samples,) = log.glob("*_sums_cot.jsonl")
    samples.write_text(content)
    outcomes = brought(log, to=tmp_path / "r")
    assert list(outcomes) == ["gpt2/lm-eval:sums_cot"]
    assert reason in outcomes["gpt2/lm-eval:sums_cot"].why


@pytest.mark.parametrize("content", [POINTER, '{"results": {"sums'])
def test_samples_without_the_results_that_tell_what_they_are_have_no_score(tmp_path: Path, content: str) -> None:
    two_tasks(tmp_path / "m")
    (results,) = (tmp_path / "m").glob("results_*.json")
    results.write_text(content)
    outcomes = brought(tmp_path / "m", to=tmp_path / "r")
    assert {name: o.state for name, o in outcomes.items()} == {"m/lm-eval:rivers": "failed", "m/lm-eval:sums": "failed"}
    assert all(results.name in o.why for o in outcomes.values())
    assert not list((tmp_path / "r").rglob("samples.jsonl"))


def test_samples_in_the_results_file_itself_are_read(tmp_path: Path) -> None:
    two_tasks(tmp_path / "m")
    (results,) = (tmp_path / "m").glob("results_*.json")
    own_samples = {}
    for name in ("sums", "rivers"):
        (samples,) = (tmp_path / "m").glob(f"samples_{name}_*")
        own_samples[name] = [json.loads(row) for row in samples.read_text().splitlines()]
        samples.unlink()
    results.write_text(json.dumps(json.loads(results.read_text()) | {"samples": own_samples}))
    outcomes = brought(tmp_path / "m", to=tmp_path / "r")
    assert {name: (o.state, o.samples) for name, o in outcomes.items()} == {
        "org/m/lm-eval:sums": ("done", 2), "org/m/lm-eval:rivers": ("done", 2)
    }  # fmt: skip
    cut = {"sums": own_samples["sums"], "rivers": own_samples["rivers"][:1]}
    results.write_text(json.dumps(json.loads(results.read_text()) | {"samples": cut}))
    outcomes = brought(tmp_path / "m", to=tmp_path / "r2")
    assert "holds 1 of 2 samples" in outcomes["org/m/lm-eval:rivers"].why


def make_log(folder: Path, values: list[dict[str, Any]], figures: dict[str, Any], **configs: Any) -> Path:
    metrics = configs.pop("metrics", ["acc"])
    listed = [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in metrics]
    return write(folder, "sums", [line(i, v) for i, v in enumerate(values)], figures, model_name=folder.name,
                 configs={"sums": {"metric_list": listed}})  # fmt: skip


def test_documents_without_a_number_change_nothing_about_the_task(tmp_path: Path) -> None:
    nan = float("nan")
    make_log(tmp_path / "base", [{"acc": 1.0, "em": 1.0}, {"acc": 0.0, "em": 0.0}], {"acc,none": 0.5}, metrics=["acc", "em"])
    make_log(tmp_path / "holed", [{"acc": 1.0, "em": 1.0}, {"acc": nan, "em": nan}], {"acc,none": nan}, metrics=["acc", "em"])
    make_log(tmp_path / "failed", [{"acc": 1.0, "em": nan}, {"acc": 0.0, "em": nan}], {"acc,none": 0.5}, metrics=["acc", "em"])
    make_log(tmp_path / "zero", [{"acc": 0.0, "em": 0.0}, {"acc": 0.0, "em": 0.0}], {"acc,none": 0.0}, metrics=["acc", "em"])
    names = ("base", "holed", "failed", "zero")
    brought(*(tmp_path / name for name in names), to=tmp_path / "r")
    records = [Results(tmp_path / "r").cell(name, "lm-eval:sums").read() for name in names]
    assert len({json.dumps(r.task.to_json(), sort_keys=True) for r in records}) == 1
    assert {r.imported["metric"] for r in records} == {"acc"}
    found = compare(tmp_path / "r", "base")
    (row,) = [r for r in found.rows if r.checkpoint == "holed" and r.level == "task"]
    assert row.difference is not None
    assert (row.difference.pairs, row.score) == (1, 100.0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(1.5, "outside of 0 to 1"), (float("inf"), "infinite"), (-0.1, "outside"), ("-inf", "infinite"), ("1e999", "infinite")],
)
def test_a_share_outside_of_0_to_1_is_refused(tmp_path: Path, value: float | str, reason: str) -> None:
    log = make_log(tmp_path / "m", [{"acc": value}, {"acc": 1.0}], {"acc,none": (float(value) + 1) / 2})
    (outcome,) = brought(log, to=tmp_path / "r").values()
    assert outcome.state == "failed"
    assert reason in outcome.why
    assert not list((tmp_path / "r").rglob("samples.jsonl"))


def test_a_scorer_of_inspect_that_failed_everywhere_is_a_metric_all_the_same(tmp_path: Path) -> None:
    scores = [{"name": "match"}, {"name": "judge"}]
    for model, judge in (("base", 1.0), ("cand", None)):
        values = {"match": {"value": "C"}, **({"judge": {"value": judge}} if judge is not None else {})}
        log = inspect_log([inspect_sample(1, "C", scores=values)], results={"scores": scores})
        log["eval"] = log["eval"] | {"model_args": {"model_path": f"./{model}"}}
        put(tmp_path / f"{model}.json", log)
    brought(tmp_path / "base.json", tmp_path / "cand.json", to=tmp_path / "r")
    records = [Results(tmp_path / "r").cell(name, "inspect:sums").read() for name in ("base", "cand")]
    assert records[0].task == records[1].task
    assert [m.name for m in records[0].task.metrics] == ["judge"]
    assert compare(tmp_path / "r", "base").rows


def test_the_scores_of_two_metrics_are_not_compared(tmp_path: Path) -> None:
    brought(make_log(tmp_path / "a", [{"acc": 1.0}], {"acc,none": 1.0}), to=tmp_path / "r")
    brought(make_log(tmp_path / "b", [{"em": 1.0}], {"em,none": 1.0}, metrics=["em"]), to=tmp_path / "r")
    with pytest.raises(SkilldeltaError, match=r"imported\.metric"):
        compare(tmp_path / "r", "a")


def test_two_models_under_one_name_are_refused(tmp_path: Path) -> None:
    lines = [line(0, {"acc": 1.0})]
    write(tmp_path / "a", "sums", lines, {"acc,none": 1.0}, model_name="org/one")
    write(tmp_path / "b", "rivers", lines, {"acc,none": 1.0}, model_name="org/two")
    outcomes = brought(tmp_path / "a", tmp_path / "b", to=tmp_path / "r", name="mine")
    assert [o.state for o in outcomes.values()] == ["done", "failed"]
    why = outcomes["mine/lm-eval:rivers"].why
    assert "mine is the name of two models" in why
    assert "'org/one'" in why
    assert "'org/two'" in why


def test_steps_and_runs_are_read_from_names_and_stand_in_their_order(tmp_path: Path) -> None:
    names = [f"dpo-b0.1__checkpoint-{n}" for n in (1000, 200, 90)] + ["sft", "run/step_5", "org/model-7b"]
    for i, name in enumerate(names):
        write(tmp_path / str(i), "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0}, model_name=name)
    brought(*(tmp_path / str(i) for i in range(len(names))), to=tmp_path / "r")
    found = {name: (c.run, c.step) for name, c in Results(tmp_path / "r").checkpoints().items()}
    assert found == {
        "org/model-7b": ("", None), "sft": ("", None),
        "dpo-b0.1__checkpoint-90": ("dpo-b0.1", 90), "dpo-b0.1__checkpoint-200": ("dpo-b0.1", 200),
        "dpo-b0.1__checkpoint-1000": ("dpo-b0.1", 1000), "run/step_5": ("run", 5),
    }  # fmt: skip
    assert [n for n in found if "checkpoint" in n] == [f"dpo-b0.1__checkpoint-{n}" for n in (90, 200, 1000)]


def test_files_of_other_programs_beside_a_log_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logs = tmp_path / "logs"
    write(logs / "ours", "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0})
    (logs / "helm" / "mmlu").mkdir(parents=True)
    (logs / "helm" / "mmlu" / "per_instance_stats.json").write_text("[]")
    (logs / "helm" / "mmlu" / "run_spec.json").write_text('{"name": "mmlu"}')
    (logs / "model").mkdir()
    (logs / "model" / "config.json").write_text("{}")
    with caplog.at_level(logging.WARNING, "skilldelta"):
        (outcome,) = import_logs([logs], Results.make(tmp_path / "out"), ImportOptions())
    assert outcome.state == "done"
    (message,) = [record.getMessage() for record in caplog.records]
    assert "2 files of no known format (helm/mmlu/per_instance_stats.json, helm/mmlu/run_spec.json)" in message


def test_a_candidate_without_any_samples_is_said_and_leaves_the_report_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line(i, {"acc": float(i % 2)}) for i in range(4)]
    write(tmp_path / "logs" / "base", "sums", lines, {"acc,none": 0.5})
    write(tmp_path / "logs" / "cand", "sums", [*lines, lines[0]], {"acc,none": 0.5})  # a document twice
    assert skilldelta(capsys, "import", tmp_path / "logs", "-o", tmp_path / "out")[0] == 4
    compared = (tmp_path / "out", "--baseline", "org/base", "--candidate", "org/cand")
    code, out, _ = skilldelta(capsys, "compare", *compared, "-o", tmp_path / "report")
    assert code == 0
    assert "cand has no samples of lm-eval:sums" in out
    assert (tmp_path / "report" / "index.html").exists()
    assert skilldelta(capsys, "gate", *compared, "--max-drop", "5")[0] == 2
