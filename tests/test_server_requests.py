"""Fields that no interface promises are sent where a server takes them, and its refusal costs no answer."""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from harness import http
from harness.backends import openai
from harness.backends.lm_eval import generation_settings
from harness.prompts.server_replies import TextReply
from harness.server_meter import ServerMeter
from harness.server_requests import FurtherFields, sampling_fields
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

    def test_a_share_of_nothing_is_greedy_as_everywhere(self) -> None:
        fields = sampling_fields(Request("a", temperature=0.7, top_p=0.0))
        assert fields == {"temperature": 0.0}
        assert generation_settings(Request("a", temperature=0.7, top_p=0.0), 8)["do_sample"] is False

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


class Clock:
    """Virtual seconds, and what a meter reports by them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reports: list[tuple[float, int, float]] = []
        self.meter = ServerMeter(lambda tokens, left: self.reports.append((self.now, tokens, left)), lambda: self.now)

    def answer_all(self, lengths: Sequence[int], slots: int, most: int, pieces: bool) -> float:
        """Answers of these lengths, 20 tokens a second each, so many side by side; when the last has ended."""
        requests = [Request(f"{n}", max_tokens=most) for n in range(len(lengths))]
        self.meter.begin_requests(requests, slots)
        waiting, running = list(range(len(lengths)))[::-1], list[tuple[float, int, float]]()
        while waiting or running:
            while waiting and len(running) < slots:
                place = waiting.pop()
                self.meter.begin_request(requests[place])
                heapq.heappush(running, (self.now + 0.3 + lengths[place] / 20, place, self.now))
            end = running[0][0]
            while (second := float(int(self.now) + 1)) < end:
                self.now = second
                if pieces:
                    self.meter.live.update({id(requests[at]): int(20 * (second - begin)) + 1 for _, at, begin in running})
                self.meter.tick()
            self.now, place, _ = heapq.heappop(running)
            self.meter.end(requests[place], lengths[place])
        return self.now


class TestMeter:
    def test_it_moves_while_no_answer_has_ended(self) -> None:
        clock = Clock()
        requests = [Request(f"{n}", max_tokens=1000) for n in range(4)]
        clock.meter.begin_requests(requests, 2)
        for request in requests[:2]:
            clock.meter.begin_request(request)
        counters = [clock.meter.piece_counter(request) for request in requests[:2]]
        for _ in range(50):
            for count in counters:
                count()
        clock.now = 10.0
        clock.meter.tick()
        assert clock.reports == [(10.0, 100, None)]  # nothing tells yet how long answers become
        clock.meter.end(requests[0], 60)
        clock.now = 11.0
        clock.meter.tick()
        assert clock.reports[-1][1:] == (110, None)
        clock.meter.end(requests[1], 60)
        clock.meter.begin_request(requests[2])
        clock.now = 22.0
        clock.meter.end(requests[2], 60)
        assert clock.reports[-1][1] == 180
        assert clock.reports[-1][2] < 100  # three of 60 tokens were ends: the last has about as many, not 1000

    @pytest.mark.parametrize("pieces", [True, False])
    def test_a_server_that_becomes_slow_is_foretold_by_its_speed_of_today(self, pieces: bool) -> None:
        """Three of 16 answers end at once, then others load the machine: each has a token in 4 s instead of 10 in one."""
        clock, most = Clock(), 400
        requests = [Request(f"{n}", max_tokens=most) for n in range(16)]
        clock.meter.begin_requests(requests, 8)
        counters = []
        for request in requests[:11]:
            clock.meter.begin_request(request)
            counters += [clock.meter.piece_counter(request)] if pieces else []
        for count in counters:
            for _ in range(40):
                count()
        clock.now = 4.0
        for request in requests[:3]:
            clock.meter.end(request, 40)
        for _ in range(75):  # for 300 s
            clock.now += 4
            for count in counters[3:]:
                count()
            clock.meter.tick()
        truth = (most - 40 - 75) * 4 + most * 4 if pieces else most  # whole: at least what 400 tokens in 300 s would leave
        assert clock.reports[-1][2] >= truth / 1.5
        assert not pieces or clock.reports[-1][2] <= truth * 1.5

    def test_choices_are_by_answers(self) -> None:
        clock = Clock()
        requests = [Request(text, choices=("x",)) for text in "abc"]
        clock.meter.begin_requests(requests, 1)
        clock.now = 6.0
        clock.meter.tick()
        assert clock.reports == []
        clock.meter.end(requests[0], 5)
        assert clock.reports == [(6.0, 5, pytest.approx(12.0))]

    def test_errors_alone_are_by_answers(self) -> None:
        clock = Clock()
        requests = [Request(text) for text in "abc"]
        clock.meter.begin_requests(requests, 1)
        clock.meter.begin_request(requests[0])
        clock.now = 6.0
        clock.meter.end(requests[0], 0)
        assert clock.reports == [(6.0, 0, pytest.approx(12.0))]

    @pytest.mark.parametrize("pieces", [True, False])
    @pytest.mark.parametrize("slots", [16, 32])
    @pytest.mark.parametrize("kind", ["alike", "half run on", "few run on", "exponential"])
    def test_after_a_minute_it_is_within_a_factor_of_one_and_a_half(self, kind: str, slots: int, pieces: bool) -> None:
        random, most = np.random.default_rng(3), 1280
        lengths = {
            "alike": np.full(500, 200),
            "half run on": np.where(random.random(500) < 0.5, most, random.integers(40, 160, 500)),
            "few run on": np.where(random.random(500) < 0.1, most, random.integers(100, 300, 500)),
            "exponential": np.minimum(random.exponential(300, 500).astype(int) + 1, most),
        }[kind]
        clock = Clock()
        end = clock.answer_all(lengths.tolist(), slots, most, pieces)
        second, _, left = [report for report in clock.reports if report[0] <= 60][-1]
        assert 1 / 1.5 < left / (end - second) < 1.5


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
