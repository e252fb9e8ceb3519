"""Fields that no interface promises are sent where a server takes them, and its refusal costs no answer."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from harness import http
from harness.backends import openai
from harness.prompts.server_replies import TextReply
from harness.server_meter import ServerMeter, expected_rest
from harness.server_requests import FurtherFields
from harness.types import Checkpoint, Request, Response, SkilldeltaError
from tests.backends.test_openai import said, serve

REPLY = TextReply.model_validate(said("x"))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def ask(url: str, *requests: Request, **options: Any) -> list[Response]:
    model = openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions(url, backoff=0.0, concurrency=1, **options))
    return [response for _, response in sorted(model.answer(requests), key=lambda pair: pair[0])]


class TestWhatAServerWouldDoByItself:
    def test_penalties_and_cuts_are_switched_off(self) -> None:
        contents: list[dict[str, Any]] = []

        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            contents.append(content)
            return 200, said("x")

        with serve(answer) as url:
            ask(url, Request("a"), Request("a", temperature=0.5))
            ask(url, Request("a"), sampling="server")
        greedy, drawn, bare = contents
        assert (greedy["repeat_penalty"], greedy["repetition_penalty"], "top_k" in greedy) == (1.0, 1.0, False)
        assert (drawn["repeat_penalty"], drawn["min_p"]) == (1.0, 0.0)
        assert drawn["top_k"] > 300_000
        assert not {"repeat_penalty", "repetition_penalty", "top_k", "min_p"} & set(bare)

    @pytest.mark.parametrize(("status", "tries"), [(400, 1), (500, 3)])
    def test_a_server_that_names_what_it_does_not_know_is_asked_without_it(self, status: int, tries: int) -> None:
        contents: list[dict[str, Any]] = []

        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            contents.append(content)
            unknown = [name for name in content if name in ("repetition_penalty", "repeat_penalty")]
            return (status, {"error": f"Unrecognized request argument supplied: {unknown[0]}"}) if unknown else (200, said("x"))

        with serve(answer) as url:
            responses = ask(url, Request("a"), Request("b"))
        assert [r.text for r in responses] == ["x", "x"]
        assert len(contents) == 2 * tries + 2  # two refusals before the first answer, none before the second

    def test_a_server_that_names_nothing_is_asked_without_any(self) -> None:
        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            return (422, {"detail": "Bad request"}) if "repeat_penalty" in content else (200, said("x"))

        with serve(answer) as url:
            assert [r.text for r in ask(url, Request("a"), Request("b"))] == ["x", "x"]

    def test_a_refusal_of_something_else_that_repeats_the_request_changes_nothing(self) -> None:
        fields = FurtherFields()
        sent: list[set[str]] = []

        async def send(more: Mapping[str, Any]) -> TextReply:
            sent.append(set(more))
            if len(sent) < 3:
                raise http.RequestRefusedError("too long: {'repeat_penalty': 1.0}")
            return REPLY

        with pytest.raises(http.RequestRefusedError):
            asyncio.run(fields.post(send, {"repeat_penalty": 1.0}))
        asyncio.run(fields.post(send, {"repeat_penalty": 1.0}))
        assert sent == [{"repeat_penalty"}, set(), {"repeat_penalty"}]

    def test_another_way_of_sampling_is_refused_by_name_and_the_way_is_stored(self) -> None:
        with pytest.raises(SkilldeltaError, match="way of sampling"):
            openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions("http://x/v1", sampling="greedy"))
        usual, other = (
            openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions("http://x/v1", sampling=sampling)).settings
            for sampling in ("exact", "server")
        )
        assert (usual["sampling"], other["sampling"]) == ("exact", "server")
        own = openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions(key="HOME")).settings
        assert "sampling" not in own  # OpenAI takes no such fields: none are sent


class TestMeter:
    def test_it_moves_while_no_answer_has_ended(self) -> None:
        reports: list[tuple[int, float]] = []
        now = [0.0]
        meter = ServerMeter(lambda tokens, seconds: reports.append((tokens, seconds)), lambda: now[0])
        requests = [Request(f"{n}", max_tokens=1000) for n in range(4)]
        meter.begin_requests(requests)
        counters = [meter.piece_counter(request) for request in requests[:2]]
        for _ in range(50):
            for count in counters:
                count()
        now[0] = 10.0
        meter.tick()
        assert reports == [(100, pytest.approx(390.0))]  # at ten a second: twice 950 to come, and twice 1000
        meter.end(requests[0], 60)
        now[0] = 11.0
        meter.tick()
        assert reports[-1][0] == 110
        assert reports[-1][1] < 100  # one of 110 tokens was an end: answers have about 110, not 1000

    def test_without_pieces_it_is_by_answers(self) -> None:
        reports: list[tuple[int, float]] = []
        now = [0.0]
        meter = ServerMeter(lambda tokens, seconds: reports.append((tokens, seconds)), lambda: now[0])
        requests = [Request("a"), Request("b"), Request("c")]
        meter.begin_requests(requests)
        now[0] = 6.0
        meter.tick()
        assert reports == []
        meter.end(requests[0], 5)
        assert reports == [(5, pytest.approx(12.0))]

    @pytest.mark.parametrize(("rate", "most"), [(0.01, 500), (0.5, 3), (1.0, 9), (0.2, 0), (0.0, 7)])
    def test_the_rest_is_the_sum_of_the_chances_that_each_token_comes(self, rate: float, most: int) -> None:
        assert expected_rest(rate, most) == pytest.approx(sum((1 - rate) ** n for n in range(most)))


class TestWeighing:
    """A server whose log-probabilities stand one token further than they say gives scores that look sound."""

    @staticmethod
    def logprobs(words: list[str], shift: int) -> dict[str, Any]:
        """As of a model that expects each word of a song after the one before; `shift` 1: that of the next place."""
        song = ["The", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog", " again"]
        rows = [{song[n + shift]: -0.1, words[n]: -0.1 if song[n + shift] == words[n] else -9.0} for n in range(len(words))]
        own: list[float | None] = [row[word] for row, word in zip(rows, words, strict=True)]
        offsets = [sum(map(len, words[:n])) for n in range(len(words))]
        return {
            "tokens": words,
            "token_logprobs": [None, *own[1:]],
            "top_logprobs": [None, *rows[1:]],
            "text_offset": offsets,
        }

    @pytest.mark.parametrize(("shift", "is_sound"), [(0, True), (1, False)])
    def test_log_probabilities_at_other_tokens_are_refused(self, shift: int, is_sound: bool) -> None:
        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            words = [f" {word}".removeprefix(" The") or "The" for word in content["prompt"].split()]
            words.append({8: " dog", 9: " again"}[len(words)])
            choice = {"text": "".join(words), "logprobs": self.logprobs(words[: len(words) - shift], shift)}
            return 200, {"choices": [choice], "usage": {"prompt_tokens": 8, "completion_tokens": 1 - shift}}

        with serve(answer) as url:
            model = openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions(url, backoff=0.0))
            problem = model.unsupported_reason([Request("a", choices=(" b",), raw=True)])
        assert ("other tokens than it says" in problem) != is_sound
        assert bool(problem) != is_sound
