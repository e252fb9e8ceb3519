"""Answers that a server gave with its own penalties are not continued, and not compared, with answers without them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import api
from harness.evaluation.questions import EvaluationSettings
from harness.types import Request, Response, Score, SkilldeltaError, Task
from tests.backends.test_openai import said, serve

TEXTS = Task(
    "texts",
    "factuality",
    1,
    "made here",
    rows=lambda folder: [{"n": n} for n in range(6)],
    ask=lambda example: Request(f"number {example.row['n']}", max_tokens=8),
    score=lambda example, response: Score(float(response.text == "right")),
    ideal=lambda example: Response("right"),
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


class Server:
    """Answers all questions, or so many before it rejects the key; `refuses`: a field that it does not take."""

    def __init__(self, count: int = 100, refuses: str = "") -> None:
        self.count, self.refuses = count, refuses
        self.contents: list[dict[str, Any]] = []

    def __call__(self, path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        if self.refuses and self.refuses in content:
            return 400, {"error": f"unknown field {self.refuses}"}
        if len(self.contents) >= self.count:
            return 401, {"error": "the key has run out"}
        self.contents.append(content)
        return 200, said("right")


def score(url: str, name: str = "m", ask_again: bool = False, **options: Any) -> api.Outcome:
    backend = api.Backend("openai", {"url": url, "concurrency": 1, "retries": 0, **options})
    settings = replace(EvaluationSettings(), ask_again=ask_again)
    return api.score([name], [TEXTS], "results", backend=backend, settings=settings)[0]


def record_file(name: str = "m") -> Path:
    return Path("results") / name / "texts" / "task.json"


def forget_sampling(name: str = "m") -> None:
    """As a version stored the cell that did not know of a server's own penalties."""
    record = json.loads(record_file(name).read_text())
    del record["backend"]["sampling"]
    record_file(name).write_text(json.dumps(record))


def test_a_cell_half_asked_with_unknown_penalties_is_refused_or_asked_anew_as_a_whole() -> None:
    server = Server(count=2)
    with serve(server) as url:
        assert score(url).state == "failed"
        forget_sampling()
        server.count = 100
        outcome = score(url)
        assert outcome.state == "failed"
        assert "backend.sampling" in outcome.why
        assert "own penalties" in outcome.why
        assert "--ask-again" in outcome.why
        assert len(server.contents) == 2
        assert score(url, ask_again=True).state == "done"
    assert len(server.contents) == 2 + 6
    assert json.loads(record_file().read_text())["backend"]["sampling"] == "exact"


@pytest.mark.parametrize("first", ["exact", "server"])
def test_a_cell_half_asked_in_one_way_goes_on_in_that_way_alone(first: str) -> None:
    server = Server(count=2)
    with serve(server) as url:
        score(url, sampling=first)
        server.count = 100
        other = "server" if first == "exact" else "exact"
        assert "backend.sampling" in score(url, sampling=other).why
        assert score(url, sampling=first).state == "done"
    assert len(server.contents) == 6
    assert {"repeat_penalty" in content for content in server.contents} == {first == "exact"}


def test_a_finished_cell_of_before_stays_and_is_not_compared_with_one_that_was_asked_otherwise() -> None:
    server = Server()
    with serve(server) as url:
        score(url)
        forget_sampling()
        assert score(url).state == "already"
        score(url, "tuned")
        with pytest.raises(SkilldeltaError, match=r"backend\.sampling: baseline null, tuned \"exact\""):
            api.compare("results", "m")
        forget_sampling("tuned")
        assert api.compare("results", "m").row("tuned", "task", "texts").n == 6
        assert score(url, ask_again=True).state == "done"
    assert len(server.contents) == 3 * 6


def test_fields_that_a_server_refuses_are_named_at_the_cell() -> None:
    with serve(Server(refuses="repeat_penalty")) as url:
        assert "refuses repeat_penalty: its own values held" in score(url).why
    assert "repeat_penalty" in json.loads(record_file().read_text())["note"]


def test_choices_do_not_depend_on_penalties() -> None:
    """A cell of log-probabilities stores no sampling, and goes on where an older version began it."""
    options = replace(
        TEXTS,
        ask=lambda example: Request(f"number {example.row['n']}", choices=(" a", " b"), raw=True),
        score=lambda example, response: Score(1.0),
        ideal=lambda example: Response(logprobs=(0.0, -1.0)),
    )

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        text = content["prompt"]
        logprobs = {
            "tokens": [text[:3], text[3:], "!"],
            "token_logprobs": [None, -1.0, -1.0],
            "text_offset": [0, 3, len(text)],
        }
        return 200, {"choices": [{"text": f"{text}!", "logprobs": logprobs, "finish_reason": "length"}]}

    with serve(answer) as url:
        backend = api.Backend("openai", {"url": url})
        (outcome,) = api.score(["m"], [options], "results", backend=backend)
        assert outcome.state == "done", outcome.why
        assert "sampling" not in json.loads(record_file().read_text())["backend"]
        assert api.score(["m"], [options], "results", backend=backend)[0].state == "already"
