"""lm-eval's logs: a real run gives lm-eval's own numbers; what is odd in a log is told, and never half-written."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.comparison.result import ComparisonSettings
from harness.evaluation.outcome import Outcome
from harness.formats.lm_eval import list_leaves
from harness.interchange.export_results import export_results, finished_cells
from harness.interchange.import_logs import import_logs
from harness.interchange.import_options import ImportOptions
from harness.store import Results
from harness.types import SkilldeltaError
from tests.support import lm_eval_run
from tests.support.lm_eval_run import line, write


def brought(*paths: Path, to: Path, **choices: Any) -> dict[str, Outcome]:
    return {o.task: o for o in import_logs(paths, Results.make(to), ImportOptions(**choices))}


def scores(folder: Path, checkpoint: str, task: str) -> list[float | None]:
    return [s.score.value for s in Results(folder).cell(checkpoint, task).samples()]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny models, evaluated and logged by lm-eval itself."""
    from tests.support import tiny

    folder = tmp_path_factory.mktemp("lm_eval_logs")
    include = lm_eval_run.tasks(folder / "tasks")
    for name, seed in (("before", 0), ("after", 3)):
        lm_eval_run.run(tiny.llama(folder / "models" / name, seed=seed, window=512), include, folder / "logs")
    return folder


@pytest.mark.slow
def test_every_metric_of_every_filter_is_lm_evals_own(real: Path, tmp_path: Path) -> None:
    outcomes = brought(real / "logs", to=tmp_path / "r")
    assert {t: o.state for t, o in outcomes.items()} == {
        "lm-eval:capitals": "done", "lm-eval:myths": "done", "lm-eval:text": "failed",
        "lm-eval:vowels@strict-match": "done", "lm-eval:vowels@flexible-extract": "done",
    }  # fmt: skip
    assert "word_perplexity (lower is better)" in outcomes["lm-eval:text"].why
    assert outcomes["lm-eval:vowels@strict-match"].why == "left out, as no means over documents: bleu"
    results = Results(tmp_path / "r")
    checked = 0
    for name in results.checkpoints():
        (told,) = [p for p in (real / "logs").rglob("results_*.json") if p.parent.name.endswith(f"__{name}")]
        theirs = json.loads(told.read_text())["results"]
        for cell in finished_cells(results, results.checkpoints(), [name]):
            source = cell.record.imported
            own, metrics = cell.measures
            headline = theirs[source["task"]][f"{source['metric']},{source['filter']}"]
            assert own.score == pytest.approx(headline, abs=1e-12)
            for metric in metrics:
                if cell.record.task.aggregate == "mean":
                    assert metric.value / 100 == pytest.approx(theirs[source["task"]][metric.name], abs=1e-12)
                    checked += 1
    assert checked == 2 * 4


@pytest.mark.slow
def test_two_real_logs_are_compared_and_filters_never_averaged(real: Path, tmp_path: Path) -> None:
    brought(real / "logs", to=tmp_path / "r")
    found = compare(tmp_path / "r", "before", ComparisonSettings(margin=2.0))
    after = {(r.level, r.name): r for r in found.rows if r.checkpoint == "after"}
    assert after["skill", "vowels"].score == after["task", "lm-eval:vowels@strict-match"].score
    assert after["task", "lm-eval:vowels@flexible-extract"].difference is not None
    assert after["average", "average"].n == 11 + 11 + 12


@pytest.mark.slow
def test_what_is_exported_is_read_by_lm_evals_own_tools_and_comes_back_the_same(real: Path, tmp_path: Path) -> None:
    from lm_eval.utils import get_file_task_name, get_results_filenames, get_sample_results_filenames, make_table

    brought(real / "logs", to=tmp_path / "r")
    paths = [p.as_posix() for p in export_results(tmp_path / "r", "lm-eval", tmp_path / "out", ["before"])]
    names = {get_file_task_name(Path(p).name) for p in get_sample_results_filenames(paths)}
    assert names == {"vowels", "capitals_north", "capitals_south", "myths_north", "myths_south"}
    (told,) = get_results_filenames(paths)
    ours = json.loads(Path(told).read_text())
    (original,) = [p for p in (real / "logs").rglob("results_*.json") if p.parent.name.endswith("__before")]
    theirs = json.loads(original.read_text())
    for task, entry in ours["results"].items():
        for key, value in entry.items():
            if isinstance(value, float) and "_stderr" not in key:
                assert value == pytest.approx(theirs["results"][task][key], abs=1e-12), (task, key)
    assert "exact_match" in make_table(ours)
    assert "myths" in make_table(ours, "groups")
    brought(tmp_path / "out", to=tmp_path / "back")
    for task in ("lm-eval:capitals", "lm-eval:myths", "lm-eval:vowels@strict-match", "lm-eval:vowels@flexible-extract"):
        one, other = (list(Results(tmp_path / f).cell("before", task).samples()) for f in ("r", "back"))
        assert [(s.example, s.score.value, s.response) for s in one] == [(s.example, s.score.value, s.response) for s in other]


def test_a_log_that_an_earlier_version_imported_is_there_already(tmp_path: Path) -> None:
    log = write(tmp_path / "m", "sums", [line(i, {"acc": float(i)}) for i in range(2)], {"acc,none": 0.5})
    assert brought(log, to=tmp_path / "r")["lm-eval:sums"].state == "done"
    stored = tmp_path / "r" / "org%2Fm" / "lm-eval:sums" / "samples.jsonl"
    as_of_then = stored.read_bytes().replace(b'"extracted"', b'"read_as"')
    assert as_of_then != stored.read_bytes()
    stored.write_bytes(as_of_then)
    assert brought(log, to=tmp_path / "r")["lm-eval:sums"].state == "already"
    assert stored.read_bytes() == as_of_then


def test_the_same_log_twice_is_there_already(tmp_path: Path) -> None:
    log = write(tmp_path / "m", "sums", [line(i, {"acc": float(i)}) for i in range(2)], {"acc,none": 0.5})
    assert brought(log, to=tmp_path / "r")["lm-eval:sums"].state == "done"
    before = (tmp_path / "r" / "org%2Fm" / "lm-eval:sums" / "samples.jsonl").read_bytes()
    assert brought(log, to=tmp_path / "r")["lm-eval:sums"].state == "already"
    other = write(tmp_path / "m", "sums", [line(i, {"acc": 1.0}) for i in range(2)], {"acc,none": 1.0})
    refused = brought(other, to=tmp_path / "r")["lm-eval:sums"]
    assert refused.state == "failed"
    assert "and not the same" in refused.why
    assert (tmp_path / "r" / "org%2Fm" / "lm-eval:sums" / "samples.jsonl").read_bytes() == before


def test_samples_that_do_not_add_up_to_their_results_are_refused(tmp_path: Path) -> None:
    log = write(tmp_path / "m", "sums", [line(i, {"acc": 1.0}) for i in range(2)], {"acc,none": 0.5})
    outcome = brought(log, to=tmp_path / "r")["lm-eval:sums"]
    assert outcome.state == "failed"
    assert "0.5000 in the results file, but its samples add up to 1.0000" in outcome.why
    assert not list((tmp_path / "r").rglob("samples.jsonl"))


def test_a_cut_file_of_samples_is_refused(tmp_path: Path) -> None:
    log = write(tmp_path / "m", "sums", [line(i, {"acc": 1.0}) for i in range(3)], {"acc,none": 1.0})
    samples = next(log.glob("samples_*"))
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:2]))
    assert "holds 2 of 3 samples" in brought(log, to=tmp_path / "r")["lm-eval:sums"].why


def test_a_value_that_is_no_number_is_no_score_and_never_zero(tmp_path: Path) -> None:
    lines = [line(0, {"acc": 1.0}), line(1, {"acc": float("nan")}), line(2, {"acc": 0.0})]
    outcome = brought(write(tmp_path / "m", "sums", lines, {"acc,none": 0.5}), to=tmp_path / "r")["lm-eval:sums"]
    assert (outcome.samples, outcome.unscored) == (3, 1)
    assert scores(tmp_path / "r", "org/m", "lm-eval:sums") == [1.0, None, 0.0]


def test_a_metric_that_is_better_when_lower_is_no_score(tmp_path: Path) -> None:
    lines = [line(i, {"wrong": 0.0, "acc": 1.0}) for i in range(2)]
    log = write(tmp_path / "m", "sums", lines, {"wrong,none": 0.0, "acc,none": 1.0},
                higher_is_better={"sums": {"wrong": False, "acc": True}})  # fmt: skip
    brought(log, to=tmp_path / "r")
    record = Results(tmp_path / "r").cell("org/m", "lm-eval:sums").read()
    assert record.imported["metric"] == "acc"
    assert [(m.name, m.lower_is_better) for m in record.task.metrics] == [("wrong,none", True), ("acc,none", False)]


def test_lists_of_verdicts_are_means_over_the_verdicts(tmp_path: Path) -> None:
    values: list[dict[str, Any]] = [{"strict": 1.0, "inst": [True, True]}, {"strict": 0.0, "inst": [False]}]
    log = write(tmp_path / "m", "ifeval", [line(i, v) for i, v in enumerate(values)], {"strict,none": 0.5, "inst,none": 2 / 3})
    brought(log, to=tmp_path / "r")
    results = Results(tmp_path / "r")
    (cell,) = finished_cells(results, results.checkpoints(), ["org/m"])
    assert {m.name: m.value for m in cell.measures[1]} == {"strict,none": 50, "inst,none": pytest.approx(200 / 3)}
    assert cell.record.task.skill == "instruction following"


def test_prompts_and_settings_decide_what_can_be_compared(tmp_path: Path) -> None:
    plain = [line(i, {"acc": 1.0}) for i in range(2)]
    other = [{**one, "arguments": {"gen_args_0": {"arg_0": "differently", "arg_1": {}}}} for one in plain]
    write(tmp_path / "a", "sums", plain, {"acc,none": 1.0})
    write(tmp_path / "b", "sums", other, {"acc,none": 1.0}, chat_template_sha="abc", **{"n-shot": {"sums": 0}})
    brought(tmp_path / "a", tmp_path / "b", to=tmp_path / "r")
    with pytest.raises(SkilldeltaError) as refusal:
        compare(tmp_path / "r", "org/a")
    for told in ("inputs.prompts", "inputs.settings.num_fewshot: baseline 5, org/b 0", 'backend.template: baseline "none"'):
        assert told in str(refusal.value)


def test_documents_are_paired_by_content_whatever_their_order(tmp_path: Path) -> None:
    lines = [line(i, {"acc": float(i == 0)}) for i in range(3)]
    turned = [{**one, "doc_id": 2 - one["doc_id"]} for one in lines]
    write(tmp_path / "a", "sums", lines, {"acc,none": 1 / 3})
    write(tmp_path / "b", "sums", turned, {"acc,none": 1 / 3})
    brought(tmp_path / "a", tmp_path / "b", to=tmp_path / "r")
    row = next(r for r in compare(tmp_path / "r", "org/a").rows if r.checkpoint == "org/b" and r.level == "task")
    assert row.difference is not None
    assert row.difference.flips is not None
    assert (row.difference.pairs, row.difference.flips.lost, row.difference.flips.gained) == (3, 0, 0)


def test_groups_that_hold_one_another_many_times_over_are_read_at_once(tmp_path: Path) -> None:
    layers = {f"g{i}": [f"g{i + 1}"] * 2 + [f"g{(i + 1) // 2}"] for i in range(1, 60)} | {
        "g60": ["sums"],
        "all": ["g1", "sums"],
    }
    assert list_leaves("all", layers) == ["sums"]  # 2^60 ways lead there, and some in a circle
    assert list_leaves("b", {"b": ["x", "c", "z"], "c": ["y", "x"]}) == ["x", "y", "z"]
    log = write(tmp_path / "m", "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0}, group_subtasks=layers | {"sums": []})
    assert [o.state for o in brought(log, to=tmp_path / "r").values()] == ["done"]


def test_an_older_log_without_filters_is_refused_where_it_had_several(tmp_path: Path) -> None:
    lines = [{k: v for k, v in line(0, {"acc": 1.0}).items() if k != "filter"}] * 2
    why = brought(write(tmp_path / "m", "sums", lines, {"acc,none": 1.0}), to=tmp_path / "r")["lm-eval:sums"].why
    assert "has document 0 2 times, and the results name no filter but none" in why


def test_results_without_samples_say_how_to_get_them(tmp_path: Path) -> None:
    log = write(tmp_path / "m", "sums", [line(0, {"acc": 1.0})], {"acc,none": 1.0})
    next(log.glob("samples_*")).unlink()
    (outcome,) = brought(log, to=tmp_path / "r").values()
    assert "--log_samples" in outcome.why
