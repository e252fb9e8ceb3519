"""Long answers of a server come in pieces where a try shows that this changes nothing, so that progress moves meanwhile."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness import http
from harness.backends import openai
from harness.types import Checkpoint, Request, Response
from tests.support.local_server import LocalHandler, serve_locally

USAGE = {"prompt_tokens": 3, "completion_tokens": 4}
LONG_ANSWER = Request("Tell me.", max_tokens=2000)
Pieces = Callable[[dict[str, Any]], Iterator[bytes]]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(http, "MAX_PAUSE", 0.0)


def answer_text(content: dict[str, Any]) -> str:
    return "one two three four" if content["max_tokens"] < 100 else "a b c d"


def event(piece: Any) -> bytes:
    return b"data: " + json.dumps(piece).encode() + b"\n\n"


def fine_pieces(content: dict[str, Any]) -> Iterator[bytes]:
    field = "text" if "prompt" in content else "delta"
    for word in answer_text(content).split():
        text = word if word in ("one", "a") else f" {word}"
        yield event({"choices": [{field: text if field == "text" else {"content": text}}]})
    yield event({"choices": [{field: "" if field == "text" else {}, "finish_reason": "stop"}]})
    yield event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n"


@contextmanager
def serve(pieces: Pieces, refuses: bool = False) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(address, contents of all requests) of a server that streams where it is asked to."""
    contents: list[dict[str, Any]] = []

    class Handler(LocalHandler):
        def post(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            contents.append(content)
            if refuses and "stream" in content:
                self.reply(400, b'{"error": "Unrecognized argument: stream_options"}')
            elif "stream" in content:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for piece in pieces(content):
                    self.wfile.write(piece)
                    self.wfile.flush()
            else:
                text = answer_text(content)
                choice = {"message": {"content": text}, "text": text, "finish_reason": "stop"}
                self.reply(200, json.dumps({"choices": [choice], "usage": USAGE}).encode())

    with serve_locally(Handler) as url:
        yield url, contents


def ask(url: str, *requests: Request, is_heard: bool = True, **options: Any) -> list[Response]:
    model = openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions(url, backoff=0.0, concurrency=1, **options))
    if is_heard:
        model.report_tokens(lambda tokens, seconds_left: None)
    return [response for _, response in sorted(model.answer(requests), key=lambda pair: pair[0])]


WHOLE = Response("a b c d", "stop", tokens_in=3, tokens_out=4)


@pytest.mark.parametrize("template", ["auto", "none"])
def test_an_answer_in_pieces_is_the_answer(template: str) -> None:
    with serve(fine_pieces) as (url, contents):
        assert ask(url, LONG_ANSWER, LONG_ANSWER, chat_template=template) == [WHOLE, WHOLE]
    assert ["stream" in content for content in contents] == [False, True, True, True]  # a short question both ways, once
    assert contents[0]["max_tokens"] < 100
    assert contents[1]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("request_", "how"),
    [
        (Request("Tell me.", max_tokens=127), {}),
        (Request("Tell me.", max_tokens=2000, raw=True), {}),
        (LONG_ANSWER, {"stream": False}),
        (LONG_ANSWER, {"is_heard": False}),
    ],
)
def test_what_is_short_or_shown_to_nobody_comes_whole(request_: Request, how: dict[str, Any]) -> None:
    with serve(fine_pieces) as (url, contents):
        ask(url, request_, **how)
    assert ["stream" in content for content in contents] == [False]


def other_text(content: dict[str, Any]) -> Iterator[bytes]:
    yield b"".join(fine_pieces(content)).replace(b" four", b"")


def without_usage(content: dict[str, Any]) -> Iterator[bytes]:
    yield b"".join(fine_pieces(content)).replace(b'"usage"', b'"used"')


def without_end(content: dict[str, Any]) -> Iterator[bytes]:
    yield b"".join(fine_pieces(content)).replace(b'"finish_reason"', b'"why"')


@pytest.mark.parametrize("pieces", [other_text, without_usage, without_end])
def test_a_server_whose_pieces_say_something_else_answers_whole(pieces: Pieces) -> None:
    with serve(pieces) as (url, contents):
        assert ask(url, LONG_ANSWER) == [WHOLE]
    assert "stream" not in contents[-1]


def test_a_server_that_refuses_it_answers_whole() -> None:
    with serve(fine_pieces, refuses=True) as (url, contents):
        assert ask(url, LONG_ANSWER, LONG_ANSWER) == [WHOLE, WHOLE]
    assert ["stream" in content for content in contents[-2:]] == [False, False]


def test_pieces_that_break_later_end_all_pieces_and_lose_no_answer() -> None:
    def breaking(content: dict[str, Any]) -> Iterator[bytes]:
        yield from fine_pieces(content) if content["max_tokens"] < 100 else list(fine_pieces(content))[:2]

    with serve(breaking) as (url, contents):
        assert ask(url, LONG_ANSWER, LONG_ANSWER) == [WHOLE, WHOLE]
    assert ["stream" in content for content in contents] == [False, True, True, False, False]


def test_tokens_are_reported_while_no_answer_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.evaluation.model_reports.INTERVAL_S", 0.0)
    monkeypatch.setattr(http, "TICK_S", 0.01)
    is_shown, answers = threading.Event(), 0
    reports: list[tuple[int, int]] = []

    def waiting(content: dict[str, Any]) -> Iterator[bytes]:
        pieces = list(fine_pieces(content))
        yield from pieces[:3]
        if content["max_tokens"] > 100:
            is_shown.wait(timeout=60)  # the answer goes on once its first pieces are reported
        yield from pieces[3:]

    def report(tokens: int, seconds_left: float | None) -> None:
        reports.append((tokens, answers))
        if tokens >= 3:
            is_shown.set()

    with serve(waiting) as (url, _):
        model = openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions(url, backoff=0.0, concurrency=1))
        model.report_tokens(report)
        for _, response in model.answer([LONG_ANSWER]):
            answers += 1
            assert response == WHOLE
    assert (3, 0) in reports
    assert reports[-1][0] == 4
