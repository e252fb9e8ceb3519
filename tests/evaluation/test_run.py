"""The loop: what is asked, kept, gone on with, and told when it fails."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness import data
from harness.evaluation.questions import EvaluationSettings, make_questions
from harness.evaluation.rescore import rescore
from harness.evaluation.run import score_checkpoints
from harness.store import Results
from harness.types import Request, Response, SkilldeltaError
from tests.support import toys


def run(folder: Path, answer=toys.answer_sum, tasks=None, settings=None, names=("toy",)):
    results = Results.make(folder)
    task_list = tasks or [toys.adding()]
    return score_checkpoints(
        [toys.checkpoint(n) for n in names], task_list, lambda _: toys.model(answer), results, settings or EvaluationSettings()
    )


def test_a_perfect_model_scores_one(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path / "r")
    assert (outcome.state, outcome.samples, outcome.unscored) == ("done", 20, 0)
    samples = list(Results(tmp_path / "r").cell("toy", "adding").samples())
    assert all(s.score.value == 1 for s in samples)
    assert [s.response.text for s in samples] == [str(2 * i) for i in range(20)]


def test_a_finished_cell_is_not_asked_again_and_no_model_is_loaded(tmp_path: Path) -> None:
    run(tmp_path / "r")

    def no_model(_: object) -> toys.ScriptedModel:
        raise AssertionError("a model was loaded")

    (outcome,) = score_checkpoints(
        [toys.checkpoint()], [toys.adding()], no_model, Results(tmp_path / "r"), EvaluationSettings()
    )
    assert outcome.state == "already"


@pytest.mark.parametrize("kept", [0, 7, 19])
def test_lines_that_a_finished_cell_lost_are_asked_again_and_only_they(tmp_path: Path, kept: int) -> None:
    """As after a copy that broke off: `done` stands in the record, and what is there is no average of the task."""
    run(tmp_path / "r")
    file = Results(tmp_path / "r").cell("toy", "adding").samples_file
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:kept]))
    requests: list[str] = []

    def answer(request: Request) -> Response:
        requests.append(str(request.prompt))
        return toys.answer_sum(request)

    (outcome,) = run(tmp_path / "r", answer)
    assert (outcome.state, outcome.samples, len(requests)) == ("done", 20, 20 - kept)
    assert file.read_bytes() == whole
    assert run(tmp_path / "r", answer)[0].state == "already"


KILL_SCRIPT = """
import os, signal, sys
from tests.support import toys
from tests.evaluation.test_run import run
from pathlib import Path
left = int(sys.argv[2])
def answer(request):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return toys.answer_sum(request)
run(Path(sys.argv[1]), answer)
"""


@pytest.mark.slow
def test_killed_anywhere_the_same_command_ends_with_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path / "undisturbed")
    for after in (0, 5, 13):
        command = [sys.executable, "-c", KILL_SCRIPT, str(tmp_path / "killed"), str(after)]
        ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(Path.cwd())}, check=False)
        assert ended.returncode == -signal.SIGKILL
    stored = list(Results(tmp_path / "killed").cell("toy", "adding").samples())
    assert len(stored) >= 8, "what was answered before the kill is kept"
    run(tmp_path / "killed")
    assert toys.tree(tmp_path / "killed") == toys.tree(tmp_path / "undisturbed")


def test_a_failing_cell_is_told_and_the_others_are_finished(tmp_path: Path) -> None:
    def sometimes(request: Request) -> Response:
        if "3+3" in str(request.prompt):
            raise RuntimeError("CUDA out of memory")
        return toys.answer_sum(request)

    other = replace(toys.adding(2), name="short")
    lost = replace(toys.adding(), name="lost", rows=lambda folder: data.read(Path("/nowhere/rows.jsonl")))
    gone = replace(lost, name="gone", rows=lambda folder: data.rows(data.DataSource("x", "no.jsonl", ()), tmp_path))
    outcomes = {o.task: o for o in run(tmp_path / "r", sometimes, [toys.adding(), other, gone])}
    assert outcomes["adding"].state == "failed"
    assert "CUDA out of memory" in outcomes["adding"].why
    assert outcomes["short"].state == "done"
    assert "no data file" in outcomes["gone"].why
    kept = Results(tmp_path / "r").cell("toy", "adding")
    assert kept.read().state == "failed"
    assert len(list(kept.samples())) == 3, "the samples before the failure are kept"


def test_a_damaged_record_fails_its_own_cell_and_stays_as_it_is(tmp_path: Path) -> None:
    run(tmp_path / "r")
    record = Results(tmp_path / "r").cell("toy", "adding").record_file
    record.write_text("{")
    outcomes = run(tmp_path / "r", names=("toy", "other"))
    assert [(o.checkpoint, o.state) for o in outcomes] == [("toy", "failed"), ("other", "done")]
    assert "the results folder is damaged there" in outcomes[0].why
    assert record.read_text() == "{"


def test_a_cell_that_is_asked_again_forgets_its_failure(tmp_path: Path) -> None:
    def fails(request: Request) -> Response:
        raise RuntimeError("CUDA out of memory")

    def is_killed(request: Request) -> Response:
        raise KeyboardInterrupt

    run(tmp_path / "r", fails, [toys.adding()])
    cell = Results(tmp_path / "r").cell("toy", "adding")
    assert "CUDA out of memory" in cell.read().traceback
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "r", is_killed, [toys.adding()])
    assert (cell.read().state, cell.read().why, cell.read().traceback) == ("running", "", "")


def test_a_checkpoint_that_does_not_load_fails_in_all_its_cells_only(tmp_path: Path) -> None:
    def loader(checkpoint):
        if checkpoint.name == "broken":
            raise OSError("half-written")
        return toys.model()

    found = [toys.checkpoint("broken"), toys.checkpoint("whole")]
    outcomes = score_checkpoints(
        found, [toys.adding(), toys.adding(3, "b")], loader, Results.make(tmp_path / "r"), EvaluationSettings()
    )
    assert [o.state for o in outcomes] == ["failed", "failed", "done", "done"]


def test_what_was_not_answered_is_counted_never_a_zero(tmp_path: Path) -> None:
    def answer(request: Request) -> Response:
        if "7+7" in str(request.prompt):
            return Response(finish="overlong", tokens_in=9999)
        return toys.answer_sum(request)

    (outcome,) = run(tmp_path / "r", answer)
    assert outcome.unscored == 1
    (odd,) = [s for s in Results(tmp_path / "r").cell("toy", "adding").samples() if s.score.value is None]
    assert "window" in odd.score.why


def test_a_scorer_that_fails_on_one_response_loses_only_that_score(tmp_path: Path) -> None:
    task = toys.adding()

    def score(example, response):
        if example.row["answer"] == "10":
            raise ZeroDivisionError("odd")
        return task.score(example, response)

    (outcome,) = run(tmp_path / "r", tasks=[replace(task, score=score)])
    assert (outcome.state, outcome.unscored) == ("done", 1)


def test_other_settings_in_the_same_folder_are_refused_with_the_differences(tmp_path: Path) -> None:
    run(tmp_path / "r")
    (outcome,) = run(tmp_path / "r", settings=EvaluationSettings(overrides={"max_tokens": 9}))
    assert outcome.state == "failed"
    assert "settings.max_tokens: stored 4, now 9" in outcome.why
    assert Results(tmp_path / "r").cell("toy", "adding").read().state == "done", "what was there stays as it was"


def test_draws_are_asked_apart(tmp_path: Path) -> None:
    seen = []

    def answer(request: Request) -> Response:
        seen.append((request.draw, request.id))
        return toys.answer_sum(request)

    run(tmp_path / "r", answer, [toys.adding(3)], EvaluationSettings(draws=2, overrides={"temperature": 0.8}))
    assert [d for d, _ in seen] == [0, 1] * 3
    assert len({i for _, i in seen}) == 6


def test_threads_score_what_waits_for_other_processes_with_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path / "one")
    run(tmp_path / "many", tasks=[replace(toys.adding(), concurrent=True)])
    assert toys.tree(tmp_path / "one") == toys.tree(tmp_path / "many")


def test_rescoring_changes_scores_and_asks_nobody(tmp_path: Path) -> None:
    run(tmp_path / "r", lambda r: Response("the answer is " + toys.answer_sum(r).text))
    task = toys.adding()
    lenient = replace(task, version=2, score=lambda e, r: task.score(e, Response(r.text.split()[-1])))
    (outcome,) = rescore(Results(tmp_path / "r"), {"adding": lenient}, EvaluationSettings())
    assert outcome.why == "20 scores changed"
    assert all(s.score.value == 1 for s in Results(tmp_path / "r").cell("toy", "adding").samples())
    assert Results(tmp_path / "r").cell("toy", "adding").read().task.version == 2


def test_a_limit_takes_the_first_of_each_group_and_a_seed_draws(tmp_path: Path) -> None:
    task = toys.adding()
    first = data.examples(task, None, data.ExampleSelection(2))
    assert [e.row["answer"] for e in first] == ["0", "2", "4", "6"]
    drawn = data.examples(task, None, data.ExampleSelection(5, seed=42, per_group=False))
    assert len(drawn) == 5
    assert drawn == data.examples(task, None, data.ExampleSelection(5, seed=42, per_group=False))


def test_rows_with_the_same_content_are_two_examples() -> None:
    twice = replace(toys.adding(), rows=lambda folder: [{"question": "1+1", "answer": "2"}] * 2)
    one, two = data.examples(twice, None)
    assert two.id == one.id + "-2"


def test_an_unknown_generation_setting_is_refused() -> None:
    with pytest.raises(SkilldeltaError, match="There are: max_tokens"):
        make_questions(toys.adding(), EvaluationSettings(overrides={"heat": 1}))


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"top_p": -0.1}, "top_p=-0.1"),
        ({"max_tokens": 0}, "max_tokens=0"),
    ],
)
def test_settings_that_nothing_can_be_drawn_with_are_refused(overrides: dict[str, float], word: str, tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=word):
        make_questions(toys.adding(), EvaluationSettings(overrides=overrides))
