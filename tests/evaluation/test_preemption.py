"""Interruptions: what is stored is never asked again, whatever ends a run, and the same command goes on."""

import errno
import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import api
from harness.cli import main
from harness.evaluation.outcome import Outcome
from harness.evaluation.questions import EvaluationSettings, make_questions
from harness.evaluation.run import score_checkpoints
from harness.evaluation.scoring import ResponseScorer, collect_samples
from harness.store import Results, SampleWriter
from harness.types import Request, Response, Sample, Score, SkilldeltaError
from tests.support import tiny, toys

ITEMS = 60


def run(
    folder: Path, answer: Callable[[Request], Response], block: int = 512, exact: bool = False, concurrent: bool = False
) -> Outcome:
    task = replace(toys.adding(ITEMS), concurrent=concurrent)
    options = EvaluationSettings(exact_resume=exact)
    loader = lambda _: toys.model(answer, block)  # noqa: E731
    (outcome,) = score_checkpoints([toys.checkpoint()], [task], loader, Results.make(folder), options)
    return outcome


def killed_run(folder: Path, after: int) -> tuple[int, list[str]]:
    """A run in a process that is killed when it is asked once more than `after` times; the requests that it was asked."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        left = after

        def answer(request: Request) -> Response:
            nonlocal left
            left -= 1
            os.write(writing, f"{request.id}\n".encode())
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return toys.answer_sum(request)

        try:
            os._exit(run(folder, answer).state != "done")
        finally:
            os._exit(9)
    os.close(writing)
    with os.fdopen(reading) as stream:
        asked = stream.read().split()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), asked


@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 7])
def test_a_run_that_is_killed_every_few_answers_ends_and_asks_only_what_was_on_its_way_again(
    after: int, tmp_path: Path
) -> None:
    run(tmp_path / "undisturbed", toys.answer_sum)
    asked, kills, code = list[str](), 0, -1
    while code:
        code, more = killed_run(tmp_path / "r", after)
        asked += more
        kills += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL)
    assert kills >= (ITEMS - 1) // (after + 1)
    assert len(asked) == ITEMS + kills, "one answer was on its way at each kill"
    assert max(Counter(asked).values()) == 2
    assert toys.tree(tmp_path / "r") == toys.tree(tmp_path / "undisturbed")


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, ITEMS - 1)), st.integers(1, 70), st.booleans())
def test_what_is_missing_is_asked_once_and_exact_resumption_asks_the_whole_blocks_of_it(
    stored: set[int], block: int, exact: bool
) -> None:
    task, asked = toys.adding(ITEMS), []
    questions = make_questions(task, EvaluationSettings())
    model = toys.model(lambda r: asked.append(r.id) or toys.answer_sum(r), block)
    keys = {questions[i].key for i in stored}
    samples = list(collect_samples(task, model, questions, keys, whole_blocks=exact))
    missing = [i for i in range(ITEMS) if i not in stored]
    assert [s.request for s in samples] == [questions[i].request.id for i in missing]
    blocks = {i // block for i in missing}
    assert asked == [questions[i].request.id for i in (range(ITEMS) if exact else missing) if not exact or i // block in blocks]


def test_answers_that_came_before_a_failure_are_kept_also_where_threads_score_them(tmp_path: Path) -> None:
    count = 0

    def answer(request: Request) -> Response:
        nonlocal count
        count += 1
        if count > 40:
            raise RuntimeError("CUDA out of memory")
        return toys.answer_sum(request)

    assert run(tmp_path / "r", answer, concurrent=True).state == "failed"
    assert len(list(Results(tmp_path / "r").cell("toy", "adding").samples())) == 40


def test_no_more_answers_than_a_block_wait_for_their_scores() -> None:
    permits = threading.Semaphore(0)

    def score(example: object, response: Response) -> Score:
        permits.acquire()
        return Score(1.0)

    task = replace(toys.adding(ITEMS), concurrent=True, score=score)
    questions = make_questions(task, EvaluationSettings())
    samples = []
    with ResponseScorer(task, limit=4) as scorer:
        for number, question in enumerate(questions):
            if number >= 4:
                permits.release()
            samples += scorer.submit(question, Response("1"))
            assert len(scorer.pending) <= 4
        permits.release(4)
        samples += scorer.drain()
    assert len(samples) == ITEMS


def test_a_second_writer_is_refused_and_touches_nothing_of_the_first(tmp_path: Path) -> None:
    run(tmp_path / "r", toys.answer_sum)
    cell = Results(tmp_path / "r").cell("toy", "adding")
    cell.update(state="running")
    before = cell.record_file.read_bytes(), cell.samples_file.read_bytes()
    with SampleWriter(cell):
        outcome = run(tmp_path / "r", toys.answer_sum)
        assert (outcome.state, "Another process is writing" in outcome.why) == ("failed", True)
        options = EvaluationSettings(ask_again=True, overrides={"max_tokens": 9})
        loader = lambda _: toys.model()  # noqa: E731
        (other,) = score_checkpoints([toys.checkpoint()], [toys.adding(ITEMS)], loader, Results(tmp_path / "r"), options)
        assert other.state == "failed"
    assert (cell.record_file.read_bytes(), cell.samples_file.read_bytes()) == before
    assert run(tmp_path / "r", toys.answer_sum).state == "done"


def test_samples_without_a_record_are_of_unknown_questions_and_are_asked(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "r")
    with SampleWriter(results.cell("toy", "adding")) as writer:
        writer.append(
            Sample(make_questions(toys.adding(ITEMS), EvaluationSettings())[0].example.id, "other", Response("?"), Score(0.0))
        )
    run(tmp_path / "r", toys.answer_sum)
    assert all(s.score.value == 1 for s in results.cell("toy", "adding").samples())


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True])
def test_a_models_own_answers_stay_and_exact_resumption_ends_at_the_bytes_of_an_undisturbed_run(
    exact: bool, tmp_path: Path
) -> None:
    model = str(tiny.llama(tmp_path / "model"))
    backend = api.Backend("transformers", {"dtype": "float32", "device": "cpu"})
    options = replace(api.default_settings(), selections=api.limits(24, None), exact_resume=exact)

    def score(folder: Path) -> None:
        (outcome,) = api.score([model], ["world_sums_validation"], folder, backend=backend, settings=options)
        assert outcome.state == "done"

    score(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    cell = Results(tmp_path / "resumed").cell("model", "world_sums_validation")
    lines = cell.samples_file.read_bytes().splitlines(keepends=True)
    stored = [line for number, line in enumerate(lines) if number % 3]
    cell.samples_file.write_bytes(b"".join(stored) + lines[0][:20])
    cell.update(state="running")
    score(tmp_path / "resumed")
    resumed = cell.samples_file.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["example"] for line in resumed] == [json.loads(line)["example"] for line in lines]
    assert [line for number, line in enumerate(resumed) if number % 3] == stored
    if exact:
        assert toys.tree(tmp_path / "resumed") == toys.tree(tmp_path / "whole")


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts samples down; at 0 the disk is full.  Above: there is room."""
    room, append = [10**9], SampleWriter.append

    def limited(self: SampleWriter, sample: Sample) -> None:
        if room[0] <= 0:
            self.lines._fp.write(b'{"half": ')
            self.lines._fp.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= 1
        append(self, sample)

    monkeypatch.setattr(SampleWriter, "append", limited)
    return room


def test_a_full_disk_fails_the_cell_with_a_word_and_the_rest_is_asked_when_there_is_room(
    tmp_path: Path, no_room: list[int]
) -> None:
    run(tmp_path / "undisturbed", toys.answer_sum)
    no_room[0] = 25
    outcome = run(tmp_path / "r", toys.answer_sum)
    assert outcome.state == "failed"
    assert "No space left" in outcome.why
    assert "the same command continues" in outcome.why
    no_room[0], asked = 10**9, []
    assert run(tmp_path / "r", lambda r: asked.append(r.id) or toys.answer_sum(r)).state == "done"
    assert len(asked) == ITEMS - 25
    assert toys.tree(tmp_path / "r") == toys.tree(tmp_path / "undisturbed")
    record = json.loads(Results(tmp_path / "r").cell("toy", "adding").record_file.read_text())
    assert (record["state"], record["why"]) == ("done", "")


def test_a_scorer_on_a_full_disk_says_nothing_of_the_response(tmp_path: Path) -> None:
    def score(example: object, response: Response) -> Score:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    task = replace(toys.adding(3), score=score)
    loader = lambda _: toys.model()  # noqa: E731
    (outcome,) = score_checkpoints([toys.checkpoint()], [task], loader, Results.make(tmp_path / "r"), EvaluationSettings())
    assert (outcome.state, list(Results(tmp_path / "r").cell("toy", "adding").samples())) == ("failed", [])


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize(
    "verb", [["score", "my/base", "-t", "world_sums_validation", "--backend", "scripted"], ["import", "log.json"]]
)
def test_a_folder_that_cannot_be_written_is_exit_3_with_a_word(
    verb: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, value: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.results_marker.write_json", refuse)
    with pytest.raises(SystemExit) as end:
        main([*verb, "-o", "results"])
    message = capsys.readouterr().err
    assert end.value.code == 3
    assert os.strerror(code) in message
    assert "results/skilldelta.json" in message
    assert "Traceback" not in message


def test_two_processes_that_make_a_results_folder_at_once_both_have_it(tmp_path: Path) -> None:
    children = []
    for number in range(6):
        if not (child := os.fork()):
            try:
                results = Results.make(tmp_path / "r")
                results.keep("adding", [toys.example(question=f"{number}", answer="0")])
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children] == [0] * 6
    assert len(Results(tmp_path / "r").rows("adding")) == 6


def test_of_two_checkpoints_with_one_name_that_come_at_once_one_is_refused(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "r")
    children = []
    for weights in "abcd":
        if not (child := os.fork()):
            try:
                results.add(toys.checkpoint(), {"weights": weights})
                os._exit(0)
            except SkilldeltaError:
                os._exit(3)
            finally:
                os._exit(1)
        children.append(child)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children)
    assert codes == [0, 3, 3, 3]
