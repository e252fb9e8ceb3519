"""From prompts to a report: paired differences, divergence, calibration, the page, and what happens when something fails."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from harness.behaviour.divergence import mean_log_ratio
from harness.behaviour.prompts import read_prompts
from harness.behaviour.run import ANSWERS, BehaviourPlan, BehaviourReport, measure_checkpoints
from harness.cli import main
from harness.comparison.compare import compare
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.store import Results
from harness.types import Checkpoint, Model, Request, Response, Score, SkilldeltaError, Task
from reports import behaviour, page
from reports.behaviour import write_report
from tests.support import tiny, toys
from tests.support.disk_faults import faults_from

Answer = Callable[[Request], Response]
HOSTILE = "</pre></section><script>alert(1)</script><img src=x onerror=alert(1)> \u202e\u2028\ud800\x1b[2J & $title ${x}"
PROMPTS = [f"What do you think of the number {n}, and of its square?" for n in range(40)]


def number_of(request: Request) -> int:
    return int(re.findall(r"number (\d+)", str(request.prompt))[0])


def answer(words: Callable[[int], str]) -> Answer:
    """Texts by a function of the number; a log-probability of -0.5 a character, by which models differ in `boost`."""

    def answer_one(request: Request) -> Response:
        if request.choices:
            return Response(logprobs=tuple(-0.5 * len(choice) for choice in request.choices))
        text = words(number_of(request))
        return Response(text, tokens_out=len(text.split()))

    return answer_one


def plain(n: int) -> str:
    return f"It is a number like any other, and its square is {n * n}." + " Indeed." * (n % 3)


def changed(n: int) -> str:
    return f"I'm sorry, but perhaps:\n\n- {n * n}\n- **bold** {HOSTILE if n == 7 else ''}" + " It seems so." * (n % 4)


def likelier(request: Request) -> Response:
    response = answer(changed)(request)
    logprobs = tuple(p + 0.2 * len(c.split()) for p, c in zip(response.logprobs, request.choices, strict=True))
    return replace(response, logprobs=logprobs)


def choices(n: int = 60) -> Task:
    return Task(
        name="pick", skill="factuality", version=1, source="made for this test",
        rows=lambda folder: [{"number": f"number {i}"} for i in range(n)],
        ask=lambda e: Request(str(e.row["number"]), choices=("yes", "no")),
        score=lambda e, r: Score(float(r.logprobs[0] > r.logprobs[1])),
        ideal=lambda e: Response(logprobs=(0.0, -9.0)),
    )  # fmt: skip


def plan(folder: Path, models: dict[str, Answer], **more: object) -> BehaviourPlan:
    file = folder / "mine.txt"
    file.write_text("\n".join(PROMPTS))

    def load(checkpoint: Checkpoint) -> Model:
        return toys.model(models[checkpoint.name])

    checkpoints = [Checkpoint(name, "", "toy") for name in models]
    return replace(
        BehaviourPlan(checkpoints, read_prompts(file), folder / "out", load, EvaluationSettings()),
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> BehaviourReport:
    models = {"base": answer(plain), "dpo<b>": likelier, "same": answer(plain)}
    return measure_checkpoints(plan(tmp_path_factory.mktemp("behaviour"), models, tasks=[choices()]))


def numbers(report: BehaviourReport, checkpoint: str) -> dict[str, tuple[float, float | None, str]]:
    return {r.measure.name: (r.value.value, r.value.delta, r.change) for r in report.rows if r.checkpoint == checkpoint}


@pytest.mark.slow
def test_every_difference_is_that_of_the_texts(report: BehaviourReport) -> None:
    tuned = numbers(report, "dpo<b>")
    assert tuned["apologies"] == (100.0, 100.0, "more")
    assert tuned["with a list"] == (100.0, 100.0, "more")
    assert tuned["with bold text"] == (100.0, 100.0, "more")
    assert tuned["list items"] == (2.0, 2.0, "more")
    lengths = [np.mean([len(re.findall(r"[^\W_]+(?:'[^\W_]+)*", f(n))) for n in range(40)]) for f in (plain, changed)]
    assert tuned["words"][0] == pytest.approx(lengths[1])
    hedges = sum(1 + n % 4 for n in range(40))
    assert tuned["hedges"][0] == pytest.approx(100 * hedges / (40 * lengths[1]))
    assert tuned["words"][1] == pytest.approx(lengths[1] - lengths[0])
    assert "with a table" not in tuned, "nobody has one: the line is left out"


def test_a_model_that_says_the_same_has_changed_in_nothing(report: BehaviourReport) -> None:
    rows = numbers(report, "same")
    assert {change for _, _, change in rows.values()} == {"unclear"}
    assert {delta for _, delta, _ in rows.values()} == {0.0}


def test_the_interval_of_a_length_is_near_that_of_a_paired_t_test(report: BehaviourReport) -> None:
    row = next(r.value for r in report.rows if (r.checkpoint, r.measure.name) == ("dpo<b>", "words"))
    words = [[len(re.findall(r"[^\W_]+(?:'[^\W_]+)*", f(n))) for n in range(40)] for f in (plain, changed)]
    expected = stats.ttest_rel(words[1], words[0]).confidence_interval(0.95)
    assert row.delta_low is not None
    assert row.delta_high is not None
    assert row.delta_low <= expected.low, "guarded by pseudo-observations, never narrower"
    assert row.delta_high >= expected.high
    assert row.delta_high - row.delta_low < 3 * (expected.high - expected.low)


def test_the_divergence_is_the_log_ratio_of_the_candidates_own_answers(report: BehaviourReport) -> None:
    tuned, same = report.divergences
    assert (tuned.checkpoint, tuned.answers, same.checkpoint) == ("dpo<b>", 40, "same")
    assert tuned.value == pytest.approx(0.2), "0.2 nats a word, and a token is a word here"
    assert tuned.interval.low < 0.2 < tuned.interval.high
    assert same.value == 0
    assert set(tuned.by_example or {}) == {s.example for s in report.results.cell("base", "mine").samples()}


def test_the_interval_of_a_log_ratio_holds_the_truth() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        tokens = rng.integers(5, 60, 40).astype(np.float64)
        top = rng.normal(0.05 * tokens, np.sqrt(tokens) * 0.3)
        _, interval = mean_log_ratio(top, tokens, np.arange(40), 0.95)
        hits += interval.low <= 0.05 <= interval.high
    assert hits >= 180


def test_calibration_is_measured_on_the_tasks_of_choices(report: BehaviourReport) -> None:
    rows = {row.checkpoint: row for row in report.calibrations}
    assert rows["base"].accuracy == 0.0, "no is shorter than yes, and so likelier"
    assert rows["base"].error == pytest.approx(rows["base"].confidence)
    assert rows["same"].difference is not None
    assert rows["same"].difference.value == 0


@pytest.mark.slow
def test_the_page_shows_every_answer_and_runs_nothing(report: BehaviourReport, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path)
    assert {p.name for p in paths} == {"index.html", *(f"behaviour.{ending}" for ending in ("md", "json", "csv", "png", "svg"))}
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "dpo<b>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\\u202e" in text
    assert "\x1b" not in text
    assert text.count("<details>") == 40
    assert "script-src" not in re.findall(r'content="(default-src[^"]*)"', text)[0]
    assert "<b>" not in (tmp_path / "behaviour.md").read_text(encoding="utf-8")
    lines = list(csv.DictReader((tmp_path / "behaviour.csv").read_text(encoding="utf-8").splitlines()))
    assert {line["measure"] for line in lines} == {row.measure.name for row in report.rows}
    assert json.loads((tmp_path / "behaviour.json").read_text())["divergence"][0]["answers"] == 40


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    models = {"base": answer(plain), "tuned": likelier}
    first = measure_checkpoints(plan(tmp_path, models)).to_json()

    def broken(request: Request) -> Response:
        raise AssertionError("asked again")

    assert measure_checkpoints(plan(tmp_path, dict.fromkeys(models, broken))).to_json() == first


def test_a_candidate_that_fails_is_named_and_the_others_are_compared(tmp_path: Path) -> None:
    def broken(request: Request) -> Response:
        raise RuntimeError("no memory")

    report = measure_checkpoints(plan(tmp_path, {"base": answer(plain), "bad": broken, "tuned": likelier}))
    assert report.candidates == ("tuned",)
    assert any("bad on mine" in why and "no memory" in why for why in report.failures)
    for name, models, said in (
        ("other", {"base": broken, "tuned": likelier}, r"The baseline base did not answer the prompts: .*no memory"),
        ("third", {"base": answer(plain), "tuned": broken}, "No checkpoint is left to compare with base"),
    ):
        (tmp_path / name).mkdir()
        with pytest.raises(SkilldeltaError, match=said):
            measure_checkpoints(plan(tmp_path / name, models))


@pytest.mark.slow
def test_a_task_of_choices_that_fails_leaves_the_rest(tmp_path: Path) -> None:
    models = {"base": answer(plain), "tuned": likelier}
    measure_checkpoints(plan(tmp_path, models, tasks=[choices(20)]))
    report = measure_checkpoints(plan(tmp_path, models, tasks=[choices(30)]))
    assert len(report.failures) == 2
    assert all("pick" in why for why in report.failures)
    assert not report.calibrations
    assert report.rows
    again = replace(EvaluationSettings(), ask_again=True)
    assert len(measure_checkpoints(plan(tmp_path, models, tasks=[choices(30)], settings=again)).calibrations) == 2


def test_without_log_probabilities_the_divergence_says_why(tmp_path: Path) -> None:
    def texts_alone(request: Request) -> Response:
        return Response() if request.choices else answer(plain)(request)

    report = measure_checkpoints(plan(tmp_path, {"base": answer(plain), "tuned": texts_alone}))
    assert report.divergences[0].why == "the backend gave no log-probability"
    assert report.to_json()["divergence"][0]["value"] is None


@pytest.mark.parametrize(("thinks", "answers"), [(lambda n: n % 2 == 0, 20), (lambda n: True, 0)])
def test_answers_after_reasoning_that_the_server_keeps_apart_are_left_out_of_the_divergence(
    thinks: Callable[[int], bool], answers: int, tmp_path: Path
) -> None:
    """Their tokens count the reasoning, and their probability after the prompt alone is another one."""

    def served(request: Request) -> Response:
        response = likelier(request)
        is_parted = not request.choices and thinks(number_of(request))
        return replace(response, reasoning="Let me see. " * 50, tokens_out=900) if is_parted else response

    (divergence,) = measure_checkpoints(plan(tmp_path, {"base": answer(plain), "tuned": served})).divergences
    assert (divergence.answers, divergence.with_reasoning, divergence.unknown) == (answers, 40 - answers, 0)
    assert "the server has parted their reasoning" in divergence.note
    if answers:
        assert divergence.value == pytest.approx(0.2), "0.2 nats a word, and no word of the reasoning"
    else:
        assert np.isnan(divergence.value)


def test_draws_of_one_prompt_give_diversity_and_count_as_one_cluster(tmp_path: Path) -> None:
    def drawn(request: Request) -> Response:
        if request.choices:
            return Response(logprobs=(-1.0,))
        return Response(f"one two three {'four' if request.draw else 'five'}", tokens_out=4)

    settings = EvaluationSettings(draws=2, overrides={"temperature": 1.0})
    models = {"base": answer(lambda n: "one two three four"), "tuned": drawn}
    report = measure_checkpoints(plan(tmp_path, models, settings=settings))
    rows = {(r.checkpoint, r.measure.name): r.value for r in report.rows}
    assert rows["base", "distinct-1"].value == pytest.approx(50)
    assert rows["tuned", "distinct-1"].value == pytest.approx(100 * 5 / 8)
    assert rows["tuned", "distinct-2"].value == pytest.approx(100 * 4 / 6)
    assert rows["tuned", "words"].pairs == 80
    assert rows["tuned", "distinct-1"].pairs == 40


@pytest.mark.slow
def test_compare_has_the_panel_of_every_generated_task(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "results")
    talk = replace(toys.adding(30, "sums"), score=lambda e, r: Score(1.0, r.text))
    for name, model in {"sft": answer(plain), "dpo": likelier}.items():

        def say(request: Request, model: Answer = model) -> Response:
            return model(replace(request, prompt=f"number {request.prompt!s:.12}".replace("What is ", "")))

        score_checkpoints(
            [Checkpoint(name, "", "toy")], [talk, choices()], lambda _, say=say: toys.model(say), results, EvaluationSettings()
        )
    comparison = compare(tmp_path / "results", "sft")
    tables = behaviour.page_tables(comparison)
    assert [t.title for t in tables] == ["Behaviour on sums, 30 paired answers", "Calibration on choices"]
    assert "apologies" in {row[0] for row in tables[0].rows}
    page.render(comparison, tmp_path / "report")
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "<h2>Behaviour</h2>" in text
    assert [p.name for p in behaviour.render(comparison, tmp_path / "report")] == ["behaviour.csv"]


@pytest.mark.slow
def test_the_verb_from_two_models_to_their_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("base", 0), ("tuned", 1)):
        tiny.llama(tmp_path / name, seed, template=True)
    prompts = tmp_path / "mine.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"What is {n}+4?"}) + "\n" for n in range(6)))
    flags = [tmp_path / "tuned", "--baseline", tmp_path / "base", "--prompts", prompts, "-o", tmp_path / "out"]
    flags += ["--gen-kwargs", "max_tokens=12", "--device", "cpu"]

    def run(*more: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["behaviour", *map(str, flags), *map(str, more)])
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    code, out, err = run("--json")
    assert code == 0, err
    content = json.loads(out)
    assert content["candidates"] == ["tuned"]
    assert content["prompts"]["count"] == 6
    assert content["divergence"][0]["value"] > 0, "greedy answers of a random model are likelier to itself"
    assert (tmp_path / "out" / "index.html").is_file()
    assert Results(tmp_path / "out" / ANSWERS).checkpoints().keys() == {"base", "tuned"}
    code, out, _ = run()
    assert "Divergence from the baseline" in out
    assert "temperature" in run("--draws", "3")[2]
    assert "The limit is -1" in run("-L", "-1")[2]
    assert run("--gen-kwargs", "max_tokens=9")[0] == 3, "stored answers were asked for otherwise"


@pytest.mark.slow
def test_a_report_is_whole_or_not_there(report: BehaviourReport, tmp_path: Path) -> None:
    """Where the disk fills up, the earlier report stays; a pipe in its place is replaced, and nobody waits for its reader."""
    write_report(report, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with faults_from(tmp_path) as faults:
        write_report(report, tmp_path)
    refusals = []
    for moment in range(1, faults.count + 1):
        with faults_from(tmp_path, moment, is_full=True):
            try:
                write_report(report, tmp_path)
            except OSError as error:
                refusals.append(error.errno)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(refusals) > 6  # one file after another
    assert set(refusals) == {errno.ENOSPC}
    (tmp_path / "behaviour.csv").unlink()
    os.mkfifo(tmp_path / "behaviour.csv")
    write_report(report, tmp_path)
    assert (tmp_path / "behaviour.csv").read_bytes() == before["behaviour.csv"]
