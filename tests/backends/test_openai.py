"""The backend for servers, against a server on this machine: a tiny model behind it, or a script of what it answers."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import api
from harness.backends import openai, transformers
from harness.types import Checkpoint, Message, Request, Response, SkilldeltaError
from tests.support import tiny
from tests.support.local_server import LocalHandler, serve_locally

CHECKPOINT = Checkpoint("tiny", "org/tiny", "hub")
Answer = Callable[[str, dict[str, Any], dict[str, str]], tuple[int, Any]]


@contextmanager
def serve(answer: Answer) -> Iterator[str]:
    """The address of a server that answers (path, content, headers) with (status, JSON); status 0 drops the connection."""

    class Handler(LocalHandler):
        def post(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, told = answer(self.path, content, dict(self.headers))
            if not status:
                self.connection.close()
                return
            moved = {"Location": told["to"]} if status in (301, 302, 307, 308) else {}
            self.reply(status, json.dumps(told).encode(), **moved)

    with serve_locally(Handler) as url:
        yield url


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def ask(url: str, requests: list[Request], **changes: Any) -> list[Response]:
    model = openai.load(CHECKPOINT, openai.OpenAIOptions(url, **{"backoff": 0.0, "retries": 3, **changes}))
    return [response for _, response in sorted(model.answer(requests), key=lambda pair: pair[0])]


def said(text: str, reason: str = "stop") -> dict[str, Any]:
    return {
        "choices": [{"message": {"content": text}, "text": text, "finish_reason": reason}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


class Tiny:
    """What a server with the tiny model answers; `shift`: the characters of a first token that it counts and nobody sent."""

    def __init__(self, own: Any, shift: int = 0) -> None:
        self.own, self.shift = own, shift
        self.lock = threading.Lock()

    def __call__(self, path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        with self.lock:  # the model is one; torch is not asked from several threads at once
            if content.get("echo"):
                return 200, self.echo(content["prompt"])
            prompt = (
                tuple(Message(**m) for m in content["messages"]) if path.endswith("/chat/completions") else content["prompt"]
            )
            request = Request(
                prompt, max_tokens=content["max_tokens"], stop=tuple(content.get("stop", ())), raw=isinstance(prompt, str)
            )
            ((_, response),) = self.own.answer([request])
            return 200, said(response.text, response.finish)

    def echo(self, text: str) -> dict[str, Any]:
        tokenizer, model = self.own.tokenizer.hf_tokenizer, self.own.model
        encoded = tokenizer(text, return_offsets_mapping=True)
        ids = encoded["input_ids"]
        with torch.no_grad():
            rows = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), dim=-1)
        own = [None] + [float(rows[i - 1, ids[i]]) for i in range(1, len(ids))] + [float(rows[-1].max())]
        tops = [None] + [{"x": float(row.max())} for row in rows]
        offsets = [begin + self.shift for begin, _ in encoded["offset_mapping"]] + [len(text) + self.shift]
        told = {"tokens": ["?"] * len(own), "token_logprobs": own, "top_logprobs": tops, "text_offset": offsets}
        return {"choices": [{"text": text, "logprobs": told}], "usage": {"prompt_tokens": len(ids), "completion_tokens": 1}}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny.llama(tmp_path_factory.mktemp("tiny"), template=True)
    return transformers.load(
        Checkpoint("tiny", str(folder), "transformers"), transformers.TransformersOptions(dtype="float32", device="cpu")
    )


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0, 3])
def test_choices_have_the_log_likelihoods_of_our_own_backend(own: Any, shift: int) -> None:
    questions = [
        Request("The quick brown fox jumps over the", choices=(" lazy dog", " dog", " apples"), raw=True),
        Request("", choices=(" A", " B"), contexts=("Question: How many?", "Answer: There were 12 apples, 5"), raw=True),
    ]
    questions.append(Request("", choices=("yes", "yes"), contexts=("Is it? ", "Was it?\n\n"), raw=True))
    questions.append(Request("The answer is ", choices=("7", " 7", "12"), raw=True))
    greedy = next(r for _, r in own.answer([Request("Question: How", raw=True, max_tokens=1)])).text
    questions.append(Request("Question: How", choices=(greedy, " zebra"), raw=True))
    with serve(Tiny(own, shift)) as url:
        theirs = ask(url, questions)
    ours = [r for _, r in sorted(own.answer(questions), key=lambda pair: pair[0])]
    for mine, server in zip(ours, theirs, strict=True):
        assert server.logprobs == pytest.approx(mine.logprobs, abs=1e-4)
        assert server.greedy == mine.greedy
    assert theirs[-1].greedy[0]


@pytest.mark.slow
def test_texts_are_those_of_our_own_backend(own: Any) -> None:
    questions = [
        Request("What is 3+4?", max_tokens=12),
        Request((Message("system", "Be brief."), Message("user", "Who are you?")), max_tokens=12),
        Request("The quick brown", max_tokens=12, raw=True),
    ]
    with serve(Tiny(own)) as url:
        theirs = ask(url, questions)
    ours = [r for _, r in sorted(own.answer(questions), key=lambda pair: pair[0])]
    assert [(r.text, r.finish) for r in theirs] == [(r.text, r.finish) for r in ours]


def test_a_busy_server_gets_another_try() -> None:
    left = [0, 429, 503, 200]

    def answer(*_: Any) -> tuple[int, Any]:
        status = left.pop(0)
        return status, said("at last") if status == 200 else {"error": {"message": "busy"}}

    with serve(answer) as url:
        (response,) = ask(url, [Request("hello")])
    assert (response.text, response.tokens_in, response.tokens_out) == ("at last", 7, 3)
    assert not left


def test_a_server_that_stays_busy_ends_the_cell_and_keeps_what_was_answered() -> None:
    asked: list[str] = []

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        asked.append(content["messages"][0]["content"])
        return (200, said("fine")) if asked[-1] == "first" else (503, {"error": {"message": "overloaded"}})

    with serve(answer) as url:
        model = openai.load(CHECKPOINT, openai.OpenAIOptions(url, backoff=0.0, retries=2, concurrency=1))
        answers = model.answer([Request("first"), Request("second")])
        assert next(answers)[1].text == "fine"
        with pytest.raises(SkilldeltaError, match=r"after 3 tries: HTTP 503: overloaded"):
            next(answers)
    assert asked == ["first", "second", "second", "second"]


def test_a_prompt_that_is_too_long_is_distinguished_from_other_refusals() -> None:
    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        long = content["messages"][0]["content"] == "long"
        return 400, {"error": {"message": "This model's maximum context length is 8 tokens." if long else "No such field."}}

    with serve(answer) as url:
        long, odd = ask(url, [Request("long"), Request("odd")])
    assert long.finish == "overlong"
    assert (odd.finish, odd.error) == ("error", "HTTP 400: No such field.")


FINAL = [  # of gateways: with statuses that elsewhere are of one request
    {"error": {"message": "No such key", "code": "invalid_api_key"}},
    {"error": {"message": "The model `gpt-9` does not exist or you have no access to it.", "code": None}},
    {"error": {"code": "model_not_found", "message": "?"}},
    {"error": {"message": "Model Not Exist", "type": "invalid_request_error"}},
    {"error": "model 'gpt-9' not found, try pulling it first"},
    {"detail": "Incorrect API key provided: sk-1***"},
    {"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}},
]


@pytest.mark.parametrize("status", [200, 400, 422, 500])
@pytest.mark.parametrize("error", FINAL)
def test_a_wrong_key_or_model_ends_the_cell_whatever_the_status(error: dict[str, Any], status: int) -> None:
    asked: list[str] = []

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        asked.append(content["messages"][0]["content"])
        return (200, said("fine")) if asked[-1] == "first" else (status, error)

    if status == 200 and "error" not in error:
        return  # no error, but a reply that does not fit
    with serve(answer) as url:
        model = openai.load(CHECKPOINT, openai.OpenAIOptions(url, backoff=0.0, concurrency=1))
        answers = model.answer([Request("first"), Request("second"), Request("third")])
        assert next(answers)[1].text == "fine"
        with pytest.raises(SkilldeltaError, match=r"Check the address .*, the model's name and the key"):
            next(answers)
    assert asked == ["first", "second"]


def test_an_error_that_quotes_the_prompt_ends_no_cell() -> None:
    question = "Say why: the model `x` does not exist, invalid_api_key."

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        if content["messages"][0]["content"] != question:
            return 200, said("fine")
        return 400, {"error": {"message": "1 validation error for the request: " + "its field is odd. " * 12 + question}}

    with serve(answer) as url:
        fine, odd = ask(url, [Request("first"), Request(question)])
    assert (fine.text, odd.finish) == ("fine", "error")


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_server_that_refuses_all_it_is_asked_ends_the_cell(count: int) -> None:
    def refuse(*_: Any) -> tuple[int, Any]:
        return 400, {"error": {"message": "Unsupported parameter: 'max_tokens'."}}

    with serve(refuse) as url, pytest.raises(SkilldeltaError, match=rf"{count} times? in a row: HTTP 400: Unsupported"):
        ask(url, [Request(f"question {i}") for i in range(count)])


def test_refused_prompts_are_told_from_a_server_that_refuses_all_by_a_short_question() -> None:
    asked: list[dict[str, Any]] = []

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        asked.append(content)
        is_refused = "forbidden" in content["messages"][0]["content"]
        return (400, {"error": {"message": "Not this one."}}) if is_refused else (200, said("Hi"))

    with serve(answer) as url:
        responses = ask(url, [Request(f"forbidden {i}", max_tokens=9, temperature=0.5) for i in range(2)], sampling="server")
    assert [(r.finish, r.error) for r in responses] == [("error", "HTTP 400: Not this one.")] * 2
    assert len(asked) == 3
    assert {(c["max_tokens"], c["temperature"]) for c in asked} == {(9, 0.5)}


def test_prompts_that_are_all_too_long_are_answers_of_a_sound_server() -> None:
    def refuse(*_: Any) -> tuple[int, Any]:
        return 400, {"error": {"message": "This model's maximum context length is 8 tokens."}}

    with serve(refuse) as url:
        assert [r.finish for r in ask(url, [Request("a"), Request("b")])] == ["overlong"] * 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": 400, "message": "the request exceeds the available context size, try increasing it"}),
        (
            200,
            {
                "code": 400,
                "message": "request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it",
            },
        ),
        (500, {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}),
        (400, {"code": 400, "message": "The input (61709 tokens) is longer than the model's context length (40960 tokens)."}),
    ],
)
def test_however_a_server_says_that_a_prompt_is_too_long(status: int, error: dict[str, Any]) -> None:
    with serve(lambda *_: (status, {"error": error})) as url:
        answers = ask(url, [Request(f"long {i}") for i in range(12)])  # more than end a cell without a sound answer
    assert [answer.finish for answer in answers] == ["overlong"] * 12


@pytest.mark.parametrize(
    ("field", "message", "way_out", "options", "changes"),
    [
        ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'.",
         "--backend-args length_field=max_completion_tokens", {"length_field": "max_completion_tokens"}, {}),
        ("temperature", "Unsupported value: 'temperature' does not support 0.0 with this model.",
         "--gen-kwargs temperature=1", {}, {"temperature": 1.0}),
        ("stop", "Unsupported parameter: 'stop' is not supported with this model.", "--gen-kwargs stop=", {}, {"stop": ()}),
    ],
)  # fmt: skip
def test_a_setting_that_a_server_refuses_is_told_with_the_flag_that_changes_it(
    field: str, message: str, way_out: str, options: dict[str, Any], changes: dict[str, Any]
) -> None:
    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        is_refused = content.get(field) not in (None, 1.0)
        return (400, {"error": {"message": message, "code": "unsupported_value"}}) if is_refused else (200, said("Hi"))

    request = Request("a", stop=("\n\n",))
    with serve(answer) as url:
        with pytest.raises(SkilldeltaError, match=re.escape(way_out)):
            ask(url, [request])
        assert [r.text for r in ask(url, [replace(request, **changes)], **options)] == ["Hi"]


def test_the_key_goes_to_the_server_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    heard: list[str] = []

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        heard.append(headers.get("Authorization", ""))
        return 401, {"error": {"message": "wrong key"}}

    with serve(answer) as url:
        model = openai.load(CHECKPOINT, openai.OpenAIOptions(url, key="MY_KEY"))
        with pytest.raises(SkilldeltaError, match="wrong key") as caught:
            list(model.answer([Request("hello")]))
    assert heard == ["Bearer sk-very-secret"]
    assert "secret" not in str(caught.value)
    assert "secret" not in json.dumps(dict(model.settings))


def test_a_redirect_is_not_followed() -> None:
    heard: list[str] = []

    def elsewhere(*_: Any) -> tuple[int, Any]:
        heard.append("asked")
        return 200, said("stolen")

    with serve(elsewhere) as other, serve(lambda *_: (302, {"to": other})) as url, pytest.raises(SkilldeltaError, match="302"):
        ask(url, [Request("hello")])
    assert not heard


def test_an_answer_ends_at_every_stop_string_though_servers_take_four() -> None:
    heard: list[dict[str, Any]] = []

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        heard.append(content)
        return 200, said("one two END three", "length")

    with serve(answer) as url:
        (response,) = ask(url, [Request("hello", stop=("a1", "a2", "a3", "a4", " END"))])
        (longer,) = ask(url, [Request("hello")])
    assert heard[0]["stop"] == ["a1", "a2", "a3", "a4"]
    assert (response.text, response.finish) == ("one two", "stop")
    assert longer.finish == "length"


def test_a_prefix_is_refused_continued_or_dropped_as_one_says() -> None:
    heard: list[dict[str, Any]] = []

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        heard.append(content)
        return 200, said("7")

    request = Request("3+4?", prefix="Answer:")
    with serve(answer) as url:
        with pytest.raises(SkilldeltaError, match=r"prefix=continue"):
            ask(url, [request])
        ask(url, [request], prefix="continue")
        ask(url, [request], prefix="drop")
        ask(url, [request], chat_template="none")
    continued, dropped, bare = heard
    assert continued["messages"][-1] == {"role": "assistant", "content": "Answer:"}
    assert continued["continue_final_message"]
    assert dropped["messages"] == [{"role": "user", "content": "3+4?"}]
    assert bare["prompt"] == "3+4?\nAnswer:"


def test_requests_run_in_parallel() -> None:
    both = threading.Barrier(2)

    def answer(*_: Any) -> tuple[int, Any]:
        both.wait(timeout=30)  # passes only when two requests are here at once
        return 200, said("met")

    with serve(answer) as url:
        assert [r.text for r in ask(url, [Request("a"), Request("b")], concurrency=2, retries=0)] == ["met", "met"]


def test_what_is_drawn_has_a_seed_of_its_own() -> None:
    heard: list[Any] = []

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        heard.append(content.get("seed"))
        return 200, said("x")

    draws = [Request("a", temperature=1.0, draw=0), Request("a", temperature=1.0, draw=1)]
    with serve(answer) as url:
        ask(url, draws, concurrency=1)
        ask(url, draws, concurrency=1)
        ask(url, [Request("a")])
    assert heard[:2] == heard[2:4]
    assert heard[0] != heard[1]
    assert heard[4] is None


def test_a_server_without_log_probabilities_cannot_answer_choices() -> None:
    with serve(lambda *_: (200, said("text alone"))) as url, pytest.raises(SkilldeltaError, match="log-probabilities of a"):
        ask(url, [Request("a", choices=(" b", " c"))])


def test_wrong_settings_are_refused_before_any_request() -> None:
    with pytest.raises(SkilldeltaError, match="OPENAI_API_KEY holds no key"):
        openai.load(CHECKPOINT, openai.OpenAIOptions())
    with pytest.raises(SkilldeltaError, match="no address of a server"):
        openai.load(CHECKPOINT, openai.OpenAIOptions("file:///etc/passwd"))
    with pytest.raises(SkilldeltaError, match="Did you mean 'none'"):
        openai.load(CHECKPOINT, openai.OpenAIOptions("http://x/v1", chat_template="non"))


def test_it_is_chosen_by_name(tmp_path: Path) -> None:
    model = api.Backend("openai", {"url": "http://127.0.0.1:1/v1", "model": "m"}).loader()(CHECKPOINT)
    assert model.settings["model"] == "m"


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "Yes.", "reasoning_content": "Hm."}, "Yes.", "Hm."),
        ({"content": "Yes.", "reasoning": "Hm."}, "Yes.", "Hm."),
        ({"content": None, "reasoning_content": "Hm."}, "", "Hm."),
        ({"content": "", "thinking": "Hm."}, "", "Hm."),
        ({"content": "Yes.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}, "Yes.", "Hm."),
        ({"content": "Yes.", "tool_calls": []}, "Yes.", ""),
        ({"content": None, "refusal": "I can't help with that."}, "I can't help with that.", ""),
        ({"content": None}, "", ""),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                    {"type": "text", "text": "Yes."},
                ]
            },
            "Yes.",
            "Hm.",
        ),
        ({"content": [{"type": "think", "think": "Hm."}, {"type": "text", "text": "Yes."}]}, "Yes.", "Hm."),
        ({"content": [{"type": "redacted_thinking", "data": "4b1d"}, {"type": "text", "text": "Yes."}]}, "Yes.", ""),
        ({"content": "<think>Hm.</think>Yes."}, "<think>Hm.</think>Yes.", ""),
    ],
)
def test_reasoning_next_to_the_content_is_kept_apart(message: dict[str, Any], text: str, reasoning: str) -> None:
    answer = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {}}
    with serve(lambda path, content, headers: (200, answer)) as url:
        (response,) = ask(url, [Request("Hi")])
    assert (response.text, response.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (
            {"message": {"content": None, "tool_calls": [{"function": {"name": "f"}}]}, "finish_reason": "stop"},
            "call of a tool",
        ),
        (
            {"message": {"content": "Let me", "function_call": {"name": "f"}}, "finish_reason": "function_call"},
            "call of a tool",
        ),
        (
            {"message": {"content": "It is"}, "finish_reason": "stop", "error": {"message": "gone"}},
            "broke the answer off.*gone",
        ),
    ],
)
def test_an_answer_that_the_server_took_apart_or_broke_off_is_none(choice: dict[str, Any], reason: str) -> None:
    with serve(lambda path, content, headers: (200, {"choices": [choice]})) as url:
        (response,) = ask(url, [Request("Hi")])
    assert response.finish == "error"
    assert re.search(reason, response.error)


def test_an_error_with_choices_beside_it_is_an_error() -> None:
    answer = {"error": {"message": "rate limited"}, "choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}
    with serve(lambda path, content, headers: (200, answer)) as url, pytest.raises(SkilldeltaError, match="rate limited"):
        ask(url, [Request("Hi")])


def test_template_variables_and_the_tokens_of_reasoning_are_sent() -> None:
    contents: list[dict[str, Any]] = []

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        contents.append(content)
        return 200, said("Yes")

    with serve(answer) as url:
        ask(url, [Request("Hi", max_tokens=10, thinking=90)], template_args="enable_thinking=false")
        ask(url, [Request("Hi", max_tokens=10)])
    assert contents[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert (contents[0]["max_tokens"], contents[1]["max_tokens"]) == (100, 10)
    assert "chat_template_kwargs" not in contents[1]


def test_tokens_are_reported_as_answers_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.evaluation.model_reports.INTERVAL_S", 0.0)
    reports: list[int] = []
    with serve(lambda *_: (200, said("yes"))) as url:
        model = openai.load(CHECKPOINT, openai.OpenAIOptions(url, backoff=0.0))
        model.report_tokens(lambda tokens, seconds_left: reports.append(tokens))
        assert len(dict(model.answer([Request(f"{n}?") for n in range(3)]))) == 3
    assert reports == [3, 6, 9]
