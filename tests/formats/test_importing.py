"""Other harnesses' logs become results with the scores that they gave; a hostile or broken one is told and leaves nothing."""

import csv
import gzip
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from harness import row_bounds
from harness.atomic_files import folder_name
from harness.comparison.compare import compare
from harness.comparison.result import ComparisonSettings
from harness.evaluation.outcome import Outcome
from harness.interchange import untrusted_files
from harness.interchange.import_logs import import_logs, shorten_model
from harness.interchange.import_options import ImportOptions
from harness.interchange.parquet import read_parquet
from harness.store import Results
from harness.types import Sample, SkilldeltaError
from tests.support.lm_eval_run import line, write
from tests.test_cli import skilldelta

LOGS = Path(__file__).parent / "logs"


def brought(*paths: Path, to: Path, **choices: Any) -> list[Outcome]:
    return import_logs(paths, Results.make(to), ImportOptions(**choices))


def samples(folder: Path, checkpoint: str, task: str) -> list[Sample]:
    return list(Results(folder).cell(checkpoint, task).samples())


def mean(folder: Path, checkpoint: str, task: str) -> float:
    return float(np.mean([s.score.value for s in samples(folder, checkpoint, task) if s.score.value is not None]))


# inspect


def test_a_log_of_inspects_own_gives_its_accuracy(tmp_path: Path) -> None:
    """tests/logs/inspect.eval: inspect_ai 0.3.285, mockllm; its own figures: match 0.667, halves 1.0."""
    (outcome,) = brought(LOGS / "inspect.eval", to=tmp_path)
    assert (outcome.checkpoint, outcome.task, outcome.state, outcome.samples) == ("before", "inspect:sums", "done", 3)
    found = samples(tmp_path, "before", "inspect:sums")
    assert [s.score.value for s in found] == [1.0, 0.0, 0.0]
    assert [s.score.parts["halves"] for s in found] == [1.0, 1.0, 1.0]
    assert [s.response.finish for s in found] == ["stop", "length", "stop"]
    assert [s.response.text for s in found] == ["The answer is 1", "The answer is 9", "The answer is 4"]


def test_what_a_killed_import_left_is_removed_by_the_next(tmp_path: Path) -> None:
    cell = Results.make(tmp_path).cell("before", "inspect:sums")
    for record in (False, True):  # killed before the cell was whole, and beside a process that made it whole
        cell.folder.mkdir(parents=True, exist_ok=True)
        halves = [cell.folder / ".samples.jsonl.57fd5025", cell.folder / ".task.json.9535086a"]
        for half in halves:
            half.write_text("{", encoding="utf-8")
        assert cell.record_file.exists() == record
        assert [o.state for o in brought(LOGS / "inspect.eval", to=tmp_path)] == ["already" if record else "done"]
        assert sorted(f.name for f in cell.folder.iterdir()) == ["samples.jsonl", "task.json"]


def inspect_log(samples_: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "version": 2, "status": "success", "plan": {"steps": [], "config": {"temperature": 0}}, "results": {},
        "eval": {"task": "sums", "model": "hf/local", "model_args": {"model_path": "./dpo"}, "packages": {"inspect_ai": "1"}},
        "samples": samples_, **more,
    }  # fmt: skip


def inspect_sample(identity: object, value: object, **more: Any) -> dict[str, Any]:
    return {
        "id": identity, "epoch": 1, "input": f"{identity}?", "target": "1", "output": {"completion": "so 1"},
        "messages": [{"role": "user", "content": f"{identity}?"}], "scores": {"match": {"value": value}}, **more,
    }  # fmt: skip


def put(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def test_a_sample_that_failed_has_no_score(tmp_path: Path) -> None:
    failed = {**inspect_sample(2, "C"), "scores": {}, "error": {"message": "no answer came"}}
    odd = inspect_sample(3, "perhaps")
    log = put(tmp_path / "log.json", inspect_log([inspect_sample(1, "P"), failed, odd], status="error"))
    (outcome,) = brought(log, to=tmp_path / "r")
    assert outcome.checkpoint == "dpo"
    assert outcome.unscored == 2
    assert "ended with error" in outcome.why
    found = samples(tmp_path / "r", "dpo", "inspect:sums")
    assert [(s.score.value, s.score.why) for s in found] == [
        (0.5, ""),
        (None, "no answer came"),
        (None, "its value is no number"),
    ]


def test_grades_of_one_to_ten_are_no_scores(tmp_path: Path) -> None:
    log = put(tmp_path / "log.json", inspect_log([inspect_sample(1, 7), inspect_sample(2, 1)]))
    (outcome,) = brought(log, to=tmp_path / "r")
    assert outcome.state == "failed"
    assert "no scorer whose values are scores of 0 to 1; it has: match" in outcome.why


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def test_an_archive_that_unpacks_to_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_bounds, "FREE", 1 << 20)
    bomb = zipped(tmp_path / "bomb.eval", {"header.json": b" " * (1 << 23)})
    assert bomb.stat().st_size < 1 << 14
    (outcome,) = brought(bomb, to=tmp_path / "r")
    assert outcome.state == "failed"
    assert "MiB once it is unpacked" in outcome.why


def test_many_small_members_may_not_add_up_to_a_bomb_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_bounds, "FREE", 1 << 20)
    header = {k: v for k, v in inspect_log([]).items() if k != "samples"}
    member = json.dumps(inspect_sample(1, "C", store={"x": "y" * (1 << 18)})).encode()
    names = {f"samples/{i}.json": member for i in range(120)}
    log = zipped(tmp_path / "bomb.eval", {"header.json": json.dumps(header).encode(), **names})
    (outcome,) = brought(log, to=tmp_path / "r")
    assert "MiB once it is unpacked" in outcome.why


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x00" * 100])
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.eval"
    path.write_bytes(content)
    (outcome,) = brought(path, to=tmp_path / "r")
    assert "is not a zip archive" in outcome.why


def test_an_archive_with_a_damaged_member_is_told(tmp_path: Path) -> None:
    content = bytearray((LOGS / "inspect.eval").read_bytes())
    place = content.index(b"header.json") + 60
    content[place : place + 8] = b"\x00" * 8
    (tmp_path / "log.eval").write_bytes(content)
    (outcome,) = brought(tmp_path / "log.eval", to=tmp_path / "r")
    assert outcome.state == "failed"
    assert not list((tmp_path / "r").rglob("task.json"))


# EvalPlus, AlpacaEval


def evalplus(path: Path, verdicts: Mapping[str, tuple[str, str | None]]) -> Path:
    each = {t: [{"task_id": t, "solution": "x", "base_status": b, "plus_status": p}] for t, (b, p) in verdicts.items()}
    return put(path, {"date": "", "hash": "h", "eval": each})


def test_base_and_plus_are_two_tasks_and_plus_counts(tmp_path: Path) -> None:
    verdicts = {"Mbpp/10": ("pass", "fail"), "Mbpp/2": ("pass", "pass"), "Mbpp/3": ("fail", "pass"), "Mbpp/4": ("pass", None)}
    log = evalplus(tmp_path / "org--model_vllm_temp_0.0-sanitized_eval_results.json", verdicts)
    assert [(o.checkpoint, o.task) for o in brought(log, to=tmp_path / "r")] == [
        ("org/model", "evalplus:mbpp_plus"), ("org/model", "evalplus:mbpp"),
    ]  # fmt: skip
    assert [s.score.value for s in samples(tmp_path / "r", "org/model", "evalplus:mbpp_plus")] == [1, 0, None, 0]
    assert [s.score.value for s in samples(tmp_path / "r", "org/model", "evalplus:mbpp")] == [1, 0, 1, 1]
    record = Results(tmp_path / "r").cell("org/model", "evalplus:mbpp").read()
    assert record.task.variant_of == "evalplus:mbpp_plus"
    assert record.inputs.settings == {"temperature": 0.0, "sanitized": True}


@pytest.mark.data
def test_evalplus_recorded_verdicts_give_what_running_the_programs_gives(real_data: Path, tmp_path: Path) -> None:
    golden = [real_data / name / "golden" for name in ("humanevalplus", "mbppplus")]
    assert {o.state for o in brought(*golden, to=tmp_path)} == {"done"}
    before, after = "meta-llama/Meta-Llama-3-8B-Instruct", "custom_finetuned_models/llama3_instruct_dpo"
    found = compare(tmp_path, before, ComparisonSettings(candidates=(after,)))
    rows = {r.name: r for r in found.rows if r.checkpoint == after}
    changes = {n: r.difference for n, r in rows.items()}
    assert round(rows["evalplus:humaneval_plus"].score, 1) == 48.2
    humaneval = changes["evalplus:humaneval_plus"]
    assert humaneval is not None
    assert humaneval.flips is not None
    assert (humaneval.flips.lost, humaneval.flips.gained) == (20, 5)
    assert rows["coding"].n == 164 + 378  # plus alone


@pytest.mark.slow
@pytest.mark.data
def test_win_rates_are_the_leaderboards(real_data: Path, tmp_path: Path) -> None:
    golden = real_data / "alpaca_eval" / "golden"
    outcomes = brought(golden / "annotations_v1", golden / "annotations_v2", to=tmp_path)
    checked = 0
    for outcome in outcomes:
        annotator = outcome.task.partition(":")[2]
        (board,) = golden.rglob(f"{annotator}_leaderboard.csv")
        with board.open() as stream:
            row = next((r for r in csv.DictReader(stream) if r[""] == outcome.checkpoint), None)
        if row and int(row["n_total"]) == outcome.samples:
            assert 100 * mean(tmp_path, outcome.checkpoint, outcome.task) == pytest.approx(float(row["win_rate"]), abs=1e-9)
            checked += 1
    assert checked >= 8


# NeMo Evaluator, lighteval


def bundle(folder: Path, model: str, records: list[dict[str, Any]]) -> Path:
    about = {"config": {"model": model, "temperature": 0}, "benchmark": {"name": "gsm8k", "scores": {}}, "sdk_version": "0.4.0"}
    put(folder / "eval-gsm8k.json", about)
    (folder / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def test_rewards_of_nemo_evaluator_are_scores_and_a_failed_solver_has_none(tmp_path: Path) -> None:
    failed = {"scoring_details": {"method": "solve_failed", "error": "timeout"}}
    records = [
        {"problem_idx": 0, "reward": 1.0, "repeat": 0, "metadata": {"category": "sums"}},
        {"problem_idx": 0, "reward": 0.0, "repeat": 1},
        {"problem_idx": 1, "reward": 0.0, **failed},
    ]
    (outcome,) = brought(bundle(tmp_path / "nel", "dpo", records), to=tmp_path / "r")
    assert (outcome.task, outcome.unscored) == ("nel:gsm8k", 1)
    found = samples(tmp_path / "r", "dpo", "nel:gsm8k")
    assert [(s.draw, s.score.value, s.group) for s in found] == [(0, 1.0, "sums"), (1, 0.0, ""), (0, None, "")]
    assert found[0].example == found[1].example != found[2].example


@pytest.mark.parametrize("odd", [{"repeat": -1}, {"tokens": -7}, {"tokens": 1e300}])
def test_what_no_results_folder_may_hold_is_not_stored(tmp_path: Path, odd: dict[str, Any]) -> None:
    record = {"problem_idx": 0, "reward": 1.0} | odd
    (outcome,) = brought(bundle(tmp_path / "nel", "dpo", [record]), to=tmp_path / "r")
    assert (outcome.state, "a sample of the log cannot be stored" in outcome.why) == ("failed", True), outcome
    assert not list((tmp_path / "r").rglob("samples.jsonl"))


def test_rewards_beyond_one_are_refused(tmp_path: Path) -> None:
    (outcome,) = brought(bundle(tmp_path / "nel", "dpo", [{"problem_idx": 0, "reward": 7}]), to=tmp_path / "r")
    assert "its rewards are no scores of 0 to 1: 1 of 1, the first 7" in outcome.why


def lighteval(folder: Path, parts: Mapping[str, list[dict[str, Any]]], underscores: bool) -> Path:
    """What lighteval's EvaluationTracker.save writes: Dataset.from_list of details, columns sorted, to parquet."""
    from datasets import Dataset

    when = "2026-01-02T03-04-05.000006"
    for name, details in parts.items():
        named = [{f"__{k}__" if underscores else k: v for k, v in one.items()} for one in details]
        path = folder / "details" / "org" / "model" / when / f"details_{name}_{when}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Dataset.from_list(named)
        made.select_columns(sorted(made.column_names)).to_parquet(path)
    means = {n: {"acc": float(np.mean([d["metric"]["acc"] for d in found]))} for n, found in parts.items()}
    put(folder / "results" / "org" / "model" / f"results_{when}.json", {
        "config_general": {"model_name": "org/model", "lighteval_sha": "abc", "model_config": {"dtype": "bfloat16"}},
        "results": means, "versions": dict.fromkeys(parts, 0), "config_tasks": {}, "summary_tasks": {}, "summary_general": {},
    })  # fmt: skip
    return folder


def detail(question: str, acc: float) -> dict[str, Any]:
    doc = {"query": question, "choices": [" A", " B"], "gold_index": 0, "instruction": None, "id": "1", "generation_size": None,
           "stop_sequences": None, "num_samples": 1}  # fmt: skip
    said = {"input": question, "text": [], "logprobs": [-1.0, -2.0], "output_tokens": [[1], [2]], "input_tokens": [1, 2]}
    return {"doc": doc, "metric": {"acc": acc}, "model_response": said}


@pytest.mark.parametrize("underscores", [False, True])
def test_lightevals_details_are_read_and_subjects_averaged_as_it_does(tmp_path: Path, underscores: bool) -> None:
    parts = {
        "mmlu:anatomy|5": [detail("a?", 1.0), detail("b?", 0.0), detail("c?", 0.0)],
        "mmlu:virology|5": [detail("d?", 1.0)],
    }
    (outcome,) = brought(lighteval(tmp_path / "out", parts, underscores) / "details", to=tmp_path / "r")
    assert (outcome.checkpoint, outcome.task, outcome.samples) == ("org/model", "lighteval:mmlu|5", 4)
    row = next(r for r in compare(tmp_path / "r", "org/model").rows if r.level == "task")
    assert row.score == pytest.approx(100 * (1 / 3 + 1) / 2)
    assert row.skill == "factuality"


def test_a_broken_parquet_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "details_x|0_now.parquet"
    path.write_bytes(b"PAR1 nothing")
    (outcome,) = brought(path, to=tmp_path / "r")
    assert "cannot be read as parquet" in outcome.why


# whatever the format


def test_a_log_that_nobody_knows_is_an_error_that_lists_who_is_known(tmp_path: Path) -> None:
    with pytest.raises(
        SkilldeltaError, match=r"holds no log of a known format; it has: hello\.\nKnown are the logs of: alpaca-eval"
    ):
        brought(put(tmp_path / "x.json", {"hello": 1}), to=tmp_path / "r")
    with pytest.raises(SkilldeltaError, match="There is no importer 'helm'"):
        brought(put(tmp_path / "x.json", {"hello": 1}), to=tmp_path / "r", format="helm")


@pytest.mark.parametrize("name", ["..", ".", "../../elsewhere", "/etc/passwd", "a\x00b", "x" * 500, "skilldelta.json", " "])
def test_no_name_in_a_log_leads_out_of_the_results(tmp_path: Path, name: str) -> None:
    log = write(tmp_path / "m", "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0}, model_name=name)
    inside = tmp_path / "r" / "inner"
    outcomes = brought(log, to=inside)
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["inner"]
    for outcome in outcomes:
        assert outcome.state == "failed" or (inside / folder_name(outcome.checkpoint) / "checkpoint.json").is_file()


@given(st.text())
def test_the_name_of_a_folder_is_never_a_path(name: str) -> None:
    made = folder_name(name)
    assert "/" not in made
    assert made not in (".", "..")


def test_a_line_too_long_or_nested_too_deep_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_files, "MAX_LINE", 100)
    long, deep = tmp_path / "a.jsonl", tmp_path / "b.json"
    long.write_text('{"a": "' + "x" * 200 + '"}\n')
    deep.write_text("[" * 200_000)
    with pytest.raises(SkilldeltaError, match="line 1, is longer than"):
        list(untrusted_files.read_objects(long))
    with pytest.raises(SkilldeltaError, match="is not JSON"):
        untrusted_files.load_json(deep)


@pytest.mark.parametrize("name", ["log.eval", "details_a_2026.parquet", "log.json"])
def test_a_pipe_that_is_named_as_a_log_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(SkilldeltaError, match="is a pipe, not a file"):
        brought(tmp_path / name, to=tmp_path / "r")


def test_empty_lines_without_end_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_files, "MAX_BLANK", 1000)
    some, many = tmp_path / "some.jsonl.gz", tmp_path / "many.jsonl.gz"
    some.write_bytes(gzip.compress(b"\n" * 900 + b'{"a": 1}\n' + b" \n" * 400 + b'{"a": 2}\n'))
    many.write_bytes(gzip.compress(b"\n" * 2000 + b'{"a": 1}\n'))
    assert [value["a"] for _, value in untrusted_files.read_objects(some)] == [1, 2]
    with pytest.raises(SkilldeltaError, match="bytes of empty lines"):
        list(untrusted_files.read_objects(many))


@pytest.mark.slow
def test_sound_rows_without_end_are_not_read_where_they_are_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some KB of gzip are rows of any number: by bytes, and by lines, as a short row takes longer than its bytes say."""
    rows = b'{"a": 1}\n' * 40_000
    (tmp_path / "plain.jsonl").write_bytes(rows)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(rows))
    (tmp_path / "list.json.gz").write_bytes(gzip.compress(b"[" + b"[]," * 999_999 + b"[]]"))
    assert len(list(untrusted_files.read_objects(tmp_path / "packed.jsonl.gz"))) == 40_000
    monkeypatch.setattr(untrusted_files, "MAX_PACKED_LINES", 39_999)
    with pytest.raises(SkilldeltaError, match=r"packed.jsonl.gz unpacks to more than 39,999 lines.*Unpack it yourself"):
        list(untrusted_files.read_objects(tmp_path / "packed.jsonl.gz"))
    monkeypatch.setattr(untrusted_files, "MAX_PACKED_LINES", 40_000)
    monkeypatch.setattr(row_bounds, "FREE", 1000)
    with pytest.raises(SkilldeltaError, match="unpacks to more than 40,000 lines or"):
        list(untrusted_files.read_objects(tmp_path / "packed.jsonl.gz"))
    with pytest.raises(SkilldeltaError, match="once it is unpacked"):
        untrusted_files.load_json(tmp_path / "list.json.gz")
    assert len(list(untrusted_files.read_objects(tmp_path / "plain.jsonl"))) == 40_000


@pytest.mark.parametrize(("bound", "most"), [("MAX_PLAIN_LINES", 99), ("MAX_PLAIN", 899)])
def test_a_plain_file_has_a_bound_for_all_of_its_lines(
    bound: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain.jsonl").write_bytes(b'{"a": 1}\n' * 100)
    monkeypatch.setattr(untrusted_files, bound, most + 1)
    assert len(list(untrusted_files.read_objects(tmp_path / "plain.jsonl"))) == 100
    monkeypatch.setattr(untrusted_files, bound, most)
    with pytest.raises(SkilldeltaError, match=rf"plain.jsonl has more than .*{most:,}.*Import it in parts"):
        list(untrusted_files.read_objects(tmp_path / "plain.jsonl"))


@pytest.mark.parametrize("value", ["x", "y" * (1 << 15)])
def test_a_parquet_file_that_stands_for_any_number_of_rows_is_not_read(
    tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, count = tmp_path / "rows.parquet", 1000
    parquet.write_table(pyarrow.table({"text": [value] * count}), file, compression="zstd")
    assert len(list(read_parquet(file))) == count
    monkeypatch.setattr("harness.interchange.parquet.FREE_ROWS", 0 if len(value) == 1 else count)
    monkeypatch.setattr(row_bounds, "FREE", 1 << 20)
    assert file.stat().st_size < 40_000
    with pytest.raises(SkilldeltaError, match=r"it is not read"):
        list(read_parquet(file))


@pytest.mark.parametrize(
    "part", ["results", "config", "n-samples", "group_subtasks", "higher_is_better", "configs", "versions"]
)
@pytest.mark.parametrize("value", [[], "text", 3, None, {"sums": "text"}])
def test_an_odd_part_of_a_log_never_ends_in_a_crash_nor_in_half_a_cell(tmp_path: Path, part: str, value: object) -> None:
    log = write(tmp_path / "m", "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0}, **{part: value})
    for outcome in brought(log, to=tmp_path / "r"):
        assert outcome.state == "done" or outcome.why
    whole = {p.parent for p in (tmp_path / "r").rglob("task.json")}
    assert {p.parent for p in (tmp_path / "r").rglob("samples.jsonl")} == whole


def test_logs_of_several_harnesses_stand_under_one_name_that_the_user_gives(tmp_path: Path) -> None:
    lm_eval = write(tmp_path / "m", "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0})
    inspect = put(tmp_path / "log.json", inspect_log([inspect_sample(1, "C")]))
    outcomes = [*brought(lm_eval, to=tmp_path / "r", name="dpo"), *brought(inspect, to=tmp_path / "r", name="dpo")]
    assert [(o.checkpoint, o.state) for o in outcomes] == [("dpo", "done"), ("dpo", "done")]
    assert list(Results(tmp_path / "r").checkpoints()) == ["dpo"]


def test_another_model_of_the_same_name_is_refused(tmp_path: Path) -> None:
    for place in ("x", "y"):
        write(tmp_path / place, "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0}, model_name=f"/{place}/runs/dpo")
    brought(tmp_path / "x", to=tmp_path / "r")
    write(tmp_path / "y", "other", [line(0, {"acc": 1.0})], {"acc,none": 1.0}, model_name="/y/runs/dpo")
    assert all("already holds another checkpoint named 'dpo'" in o.why or "not the same" in o.why
               for o in brought(tmp_path / "y", to=tmp_path / "r"))  # fmt: skip


def test_a_name_is_what_says_something_of_a_path() -> None:
    assert shorten_model("allenai/tulu-2-7b") == "allenai/tulu-2-7b"
    assert shorten_model("/home/me/runs/dpo/checkpoint-200") == "dpo/checkpoint-200"
    assert shorten_model("./runs/dpo/") == "dpo"
    assert shorten_model("gpt-4") == "gpt-4"


def test_the_command_tells_what_came_in_and_skills_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "m", "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0})
    code, out, _ = skilldelta(
        capsys, "import", log, "-o", tmp_path / "r", "--name", "dpo", "--skill", "sums=reasoning", "--json"
    )
    assert code == 0
    assert [(o["checkpoint"], o["task"], o["state"]) for o in json.loads(out)] == [("dpo", "lm-eval:sums", "done")]
    assert Results(tmp_path / "r").cell("dpo", "lm-eval:sums").read().task.skill == "reasoning"
    next(log.glob("samples_*")).write_text("broken\n")
    code, _, told = skilldelta(capsys, "import", log, "-o", tmp_path / "r2", "--from", "lm-eval")
    assert code == 4
    assert "line 1 is not JSON" in told


@pytest.mark.parametrize(("reducer", "score", "is_said"), [("mean", 0.5, False), ("pass_at_2", 1.0, False), ("max", 0.5, True)])
def test_a_score_that_inspect_reduces_otherwise_is_said_to_be_another(
    tmp_path: Path, reducer: str, score: float, is_said: bool
) -> None:
    epochs = [inspect_sample(1, value, epoch=epoch) for epoch, value in ((1, "I"), (2, "C"))]
    scores = [{"name": "match", "reducer": reducer, "metrics": {}}]
    (outcome,) = brought(put(tmp_path / "log.json", inspect_log(epochs, results={"scores": scores})), to=tmp_path / "r")
    assert (outcome.state, "the mean over epochs" in outcome.why) == ("done", is_said)
    (row, *_) = compare(tmp_path / "r", "dpo").rows
    assert row.score == 100 * score


def test_a_second_log_is_refused_with_what_it_is_and_a_way_that_works(tmp_path: Path) -> None:
    """A model that was run twice, and another model whose path ends alike: in another folder both would meet again."""
    for place, model, value in (("x", "/x/dpo", 1.0), ("again", "/x/dpo", 0.0), ("y", "/y/dpo", 0.0)):
        write(tmp_path / place, "sums", [line(0, {"acc": value})], {"acc,none": value}, model_name=model)
    whys = {place: brought(tmp_path / place, to=tmp_path / "r")[0].why for place in ("x", "again", "y")}
    assert "and not the same: it is from another log of that model." in whys["again"]
    assert "from '/x/dpo', and this log is of '/y/dpo'" in whys["y"]
    assert "under a --name of its own" in whys["y"]
    for place in ("again", "y"):
        assert [o.state for o in brought(tmp_path / place, to=tmp_path / "r", name=place)] == ["done"]
    assert compare(tmp_path / "r", "dpo").row("again", "task", "lm-eval:sums").score == 0


def test_a_skill_may_be_named_later_and_stays(tmp_path: Path) -> None:
    logs = write(tmp_path / "m", "sums", [line(0, {"acc": 1.0}), line(1, {"acc": 0.0})], {"acc,none": 0.5})
    states = [brought(logs, to=tmp_path / "r", skills=skills)[0].state
              for skills in ({}, {"sums": "reasoning"}, {"lm-eval:sums": "reasoning"}, {})]  # fmt: skip
    assert states == ["done", "done", "already", "already"]
    assert [cell.task.skill for _, cell, _ in Results(tmp_path / "r").cells()] == ["reasoning"]


def test_a_skill_of_a_task_that_did_not_come_in_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logs = write(tmp_path / "m", "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0})
    brought(logs, to=tmp_path / "r", skills={"sumz": "reasoning", "sums": "coding"})
    assert caplog.messages == ["--skill sumz: no task of that name came in; there are: lm-eval:sums, sums."]
