"""A judge behind a server that is slow, fails and talks nonsense: no answer is lost, and nothing is asked twice."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import http, judge_binding
from harness.evaluation.outcome import Outcome
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.rescore import rescore
from harness.evaluation.run import score_checkpoints
from harness.grading.questions import JudgeQuestion, ask_judge
from harness.store import Results
from harness.types import Example, Judge, Request, Response, Score, Task
from tests.backends.test_openai import serve
from tests.support import toys

COUNT = 12
Reply = Callable[[str, int], tuple[int, str]]  # (prompt, how many were asked before) to (status, text)


def by_judge(judge: Judge, example: Example, response: Response) -> Score:
    (verdict,) = ask_judge(judge, JudgeQuestion(str(example.row["question"]), response.text))
    return Score(verdict.value, verdict.label, verdict.parts(), verdict.why)


def judged_task() -> Task:
    return replace(toys.adding(COUNT), judge="classifier:nowhere", judged=by_judge, score=judge_binding.unjudged_score)


class JudgeServer:
    """Answers chats by a function, and counts the prompts that it answered soundly."""

    def __init__(self, reply: Reply) -> None:
        self.reply, self.prompts, self.lock = reply, list[str](), threading.Lock()

    def __call__(self, path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        prompt = content["messages"][0]["content"]
        with self.lock:
            status, text = self.reply(prompt, len(self.prompts))
            if status == 200:
                self.prompts.append(prompt)
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100, "completion_tokens": 1}
        return status, {"choices": [choice], "usage": usage} if status == 200 else {"error": "no"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("SKILLDELTA_JUDGE_CACHE", str(tmp_path / "replies"))
    monkeypatch.setattr(http, "MAX_PAUSE", 0.0)


def run(folder: Path, url: str, answer: Callable[[Request], Response] = toys.answer_sum) -> Outcome:
    spec = f"llm:openai:grader,url={url},retries=1,backoff=0,concurrency=2,price_in=2,price_out=8"
    settings = EvaluationSettings(judges={"adding": spec})
    results = Results.make(folder)
    (outcome,) = score_checkpoints([toys.checkpoint()], [judged_task()], lambda _: toys.model(answer), results, settings)
    return outcome


def good_first(prompt: str) -> str:
    """Always the letter of "it does what was asked"."""
    return "A" if "A: it does what was asked" in prompt else "B"


def test_verdicts_tokens_and_price_are_kept_with_the_results(tmp_path: Path) -> None:
    server = JudgeServer(lambda prompt, _: (200, good_first(prompt)))
    with serve(server) as url:
        outcome = run(tmp_path / "r", url)
    assert (outcome.state, outcome.unscored) == ("done", 0)
    cell = Results(tmp_path / "r").cell("toy", "adding")
    assert {s.score.value for s in cell.samples()} == {1.0}
    assert {s.score.parts["orders_agree"] for s in cell.samples()} == {1.0}
    work = cell.read().conditions["judge"]
    assert work == {
        "questions": 12,
        "requests": 24,
        "hits": 0,
        "failures": 0,
        "tokens_in": 2400,
        "tokens_out": 24,
        "price": 0.004992,
        "orders_agree": 1.0,
    }


def test_a_server_that_goes_away_loses_no_answer_and_is_paid_once(tmp_path: Path) -> None:
    models_asked: list[Request] = []

    def answer(request: Request) -> Response:
        models_asked.append(request)
        return toys.answer_sum(request)

    server = JudgeServer(lambda prompt, count: (200, good_first(prompt)) if count < 7 else (503, ""))
    with serve(server) as url:
        outcome = run(tmp_path / "r", url, answer)
        assert outcome.state == "failed"
        assert "does not answer" in outcome.why
        cell = Results(tmp_path / "r").cell("toy", "adding")
        assert [s.score.value for s in cell.samples()] == [None] * COUNT  # answers are stored, without a score
        server.reply = lambda prompt, _: (200, good_first(prompt))
        assert (run(tmp_path / "r", url, answer).state, len(models_asked)) == ("done", COUNT)
    assert {s.score.value for s in cell.samples()} == {1.0}
    assert len(server.prompts) == len(set(server.prompts)) == 2 * COUNT  # no prompt was answered twice


def test_nonsense_is_unscored_with_its_reason_and_not_asked_again(tmp_path: Path) -> None:
    def reply(prompt: str, count: int) -> tuple[int, str]:
        return 200, "Both have merits." if '"' not in prompt and "0+0" in prompt else good_first(prompt)

    server = JudgeServer(reply)
    with serve(server) as url:
        outcome = run(tmp_path / "r", url)
        assert (outcome.state, outcome.unscored) == ("done", 1)
        assert "names no letter: 'Both have merits.'" in outcome.why
        before = len(server.prompts)
        settings = EvaluationSettings(judges={"adding": f"llm:openai:grader,url={url}"})
        (again,) = rescore(Results(tmp_path / "r"), {"adding": judged_task()}, settings)
    assert (again.unscored, again.why, len(server.prompts)) == (1, "0 scores changed", before)


def test_a_prompt_that_the_server_refuses_is_unscored_alone(tmp_path: Path) -> None:
    server = JudgeServer(lambda prompt, _: (400, "") if "1+1" in prompt else (200, good_first(prompt)))
    with serve(server) as url:
        outcome = run(tmp_path / "r", url)
    # "1+1" is in "11+11" as well
    assert (outcome.state, outcome.unscored) == ("done", 2)
    assert "the judge gave no reply" in outcome.why


def test_a_key_that_is_missing_is_known_before_a_model_is_asked(tmp_path: Path) -> None:
    def no_answer(request: Request) -> Response:
        raise AssertionError("the model was asked")

    settings = EvaluationSettings(judges={"adding": "llm:openai:gpt-4"})
    results = Results.make(tmp_path / "r")
    (outcome,) = score_checkpoints([toys.checkpoint()], [judged_task()], lambda _: toys.model(no_answer), results, settings)
    assert outcome.state == "failed"
    assert "OPENAI_API_KEY holds no key" in outcome.why
    assert "--judge TASK=none" in outcome.why


def test_the_key_is_in_no_reply_and_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-judge")
    with serve(JudgeServer(lambda prompt, _: (200, good_first(prompt)))) as url:
        run(tmp_path / "r", url)
    stored = b"".join(p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file())
    assert b"sk-secret" not in stored
    lines = next((tmp_path / "replies").glob("*.jsonl")).read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 2 * COUNT
