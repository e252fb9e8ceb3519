"""Replies in pieces: whatever a server streams is the reply that it would have sent whole, or an error of its request."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import http, http_replies, http_streams
from harness.http_replies import TryError
from harness.prompts.server_replies import ChatReply, TextReply
from harness.server_address import parse_address
from tests.support import hostile_server
from tests.support.hostile_server import Behaviour, Exchange, text_reply

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(http, "MAX_PAUSE", 0.0)


def delta(content: Any = None, finish: Any = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content, **fields}, "finish_reason": finish}]}


def event(piece: Any) -> bytes:
    return b"data: " + json.dumps(piece).encode() + b"\n\n"


def stream(*pieces: Any, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(event(piece) for piece in pieces) + end


LAST = (delta(finish="stop"), {"choices": [], "usage": USAGE})
FINE = (delta("", role="assistant"), delta("It is "), delta("18"), *LAST)


def post(
    behaviour: Behaviour, secret: str = "", timeout: float = 20.0, is_streamed: bool = True, retries: int = 1
) -> tuple[Any, int, bool]:
    """(text and reasoning or the exception, pieces counted, whether streams are still taken for sound).

    The server streams `behaviour` first, and answers "whole" to the second try.
    """
    tries: list[int] = []
    pieces: list[int] = []

    def behave(exchange: Exchange) -> None:
        tries.append(1)
        if len(tries) == 1:
            behaviour(exchange)
        else:
            exchange.send(hostile_server.http_reply(json.dumps(text_reply("whole")).encode()))

    async def ask(url: str) -> tuple[Any, int, bool]:
        server = http.JsonServer(parse_address(url, secret), timeout, retries=retries, backoff=0.0)
        async with http.open_session(1) as session:
            connection = http.Connection(session)
            content = {"q": 1, **(http_streams.STREAM_FIELDS if is_streamed else {})}
            try:
                reply = await server.post(connection, "/x", content, ChatReply, lambda: pieces.append(1))
            except (http.RequestRefusedError, http.UnsoundReplyError, http.ServerAwayError) as error:
                return error, len(pieces), connection.streams
            return reply, len(pieces), connection.streams

    with hostile_server.serve(behave) as url:
        return asyncio.run(ask(url))


def send(body: bytes) -> Behaviour:
    return lambda exchange: exchange.send(STREAM_HEAD + body)


def answer_of(body: bytes, **how: Any) -> tuple[str, str]:
    reply, *_ = post(send(body), **how)
    if isinstance(reply, Exception):
        raise reply
    return reply.choices[0].message.split()


class TestSoundStreams:
    def test_it_is_the_reply_that_would_have_come_whole(self) -> None:
        reply, pieces, is_sound = post(send(stream(*FINE)))
        assert reply.choices[0].message.split() == ("It is 18", "")
        assert (reply.choices[0].ending, reply.tokens_in, reply.tokens_out) == (("stop", ""), 3, 2)
        assert (pieces, is_sound) == (2, True)

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (stream(*FINE).replace(b"\n", b"\r\n"), ("It is 18", "")),
            (b": keep alive\n\n" + stream(*FINE), ("It is 18", "")),
            (b"id: 7\nretry: 5\nevent: message\n" + stream(*FINE), ("It is 18", "")),
            (stream(*FINE).replace(b"data: ", b"data:"), ("It is 18", "")),
            (stream(*FINE).replace(b"\n\n", b"\n"), ("It is 18", "")),
            (stream(*FINE, end=b""), ("It is 18", "")),
            (stream(*FINE, end=b"").rstrip(), ("It is 18", "")),
            (stream(*FINE) + event(delta(" and more")), ("It is 18", "")),
            (stream(delta(reasoning_content="Hm"), delta("Y", reasoning_content="."), *LAST), ("Y", "Hm.")),
            (stream(delta(None, reasoning="Hm"), delta(reasoning="."), *LAST), ("", "Hm.")),
            (stream(delta([{"type": "thinking", "thinking": [{"type": "text", "text": "H"}]}]), delta("Y"), *LAST), ("Y", "H")),
            (stream(delta(reasoning_details=[{"text": "H"}]), delta(reasoning_details=[{"text": "m"}]), *LAST), ("", "Hm")),
            (stream(delta(refusal="I can"), delta(refusal="not."), *LAST), ("I cannot.", "")),
            (stream({"choices": [], "prompt_filter_results": []}, *FINE), ("It is 18", "")),
            (stream({"choices": [{"index": 1, "delta": {"content": "other"}}]}, *FINE), ("It is 18", "")),
            (stream(delta("x", finish=""), *LAST), ("x", "")),
            (stream(delta("x"), delta(finish="stop", usage=None) | {"usage": USAGE}), ("x", "")),
        ],
    )  # fmt: skip
    def test_forms_that_servers_have(self, body: bytes, expected: tuple[str, str]) -> None:
        assert answer_of(body) == expected

    def test_texts_of_completions_and_calls_of_tools(self) -> None:
        reply = http_streams.StreamedReply()
        for text, finish in (("It is ", None), ("18", None), ("", "length")):
            reply.add({"choices": [{"text": text, "finish_reason": finish}], "usage": USAGE})
        whole = TextReply.model_validate(reply.whole())
        assert (whole.choices[0].text, whole.choices[0].ending) == ("It is 18", ("length", ""))
        body = stream(delta(tool_calls=[{"index": 0}]), delta(tool_calls=[{"index": 0}]), *LAST)
        assert "call of a tool" in post(send(body))[0].choices[0].ending[1]

    def test_a_reply_that_comes_whole_though_pieces_were_asked_for(self) -> None:
        reply, pieces, is_sound = post(lambda e: e.send(hostile_server.http_reply(json.dumps(text_reply("one")).encode())))
        assert (reply.choices[0].message.content, pieces, is_sound) == ("one", 0, True)

    def test_pieces_that_nobody_asked_for_are_no_reply(self) -> None:
        assert isinstance(post(send(stream(*FINE)), is_streamed=False)[0], ChatReply)  # the second try's

    @given(st.text(min_size=1, max_size=40), st.data())
    def test_however_it_is_cut_into_pieces_and_packets_the_text_is_the_same(self, text: str, data: st.DataObject) -> None:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
        parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        is_ascii = data.draw(st.booleans())
        events = [delta(part) for part in parts] + list(LAST)
        lines = "".join(f"data: {json.dumps(piece, ensure_ascii=is_ascii)}\n\n" for piece in events)
        body = lines.encode("utf-8", "surrogatepass") + b"data: [DONE]\n\n"
        borders = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
        packets = [body[start:end] for start, end in zip([0, *borders], [*borders, len(body)], strict=True)]
        value = asyncio.run(http_streams.read_stream(packeted(packets), None))
        assert value["choices"][0]["message"]["content"] == text
        assert value["usage"] == USAGE


class Content:
    """A body in packets."""

    def __init__(self, packets: list[bytes]) -> None:
        self.packets = packets

    async def iter_any(self) -> Any:
        for packet in self.packets:
            yield packet


def packeted(packets: list[bytes]) -> Any:
    return type("Response", (), {"headers": {}, "content": Content(packets)})()


def read(body: bytes) -> dict[str, Any]:
    return asyncio.run(http_streams.read_stream(packeted([body]), None))


class TestUnsoundStreams:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "ends before its answer"),
            (b"data: [DONE]\n\n", "ends before its answer"),
            (stream(delta("It is ")), "ends before its answer"),  # llama-cpp-python, as another request comes in
            (stream(delta("It is "), end=b""), "ends before its answer"),
            (stream(*FINE[:-1]), "without the usage"),
            (stream(*FINE)[:-60], "not JSON"),
            (stream(delta("It is "))[:-40], "not JSON"),
            (b"data: It is 18\n\n", "not JSON"),
            (b"data: \xff\xfe\n\n", "not JSON"),
            (b"data: " + b"[" * 100_000 + b"\n\n", "not JSON"),
            (rb'data: {"choices": [{"delta": {"content": "\ud83d"}}]}' + b"\n\n", "not JSON"),
            (b'{"choices": []}\n', "a line that is none"),
            (b"\xef\xbb\xbf" + stream(*FINE), "a line that is none"),
            (stream([1, 2], *FINE), "a piece that is none"),
            (stream({"choices": {"a": 1}}, *FINE), "a piece that is none"),
            (stream({"choices": ["x"]}, *FINE), "a choice that is none"),
            (stream({"choices": [{"delta": "x"}]}, *FINE), "a choice that is none"),
        ],
    )
    def test_the_same_request_is_asked_as_a_whole_then(self, body: bytes, reason: str) -> None:
        with pytest.raises(TryError, match=reason):
            read(body)
        reply, _, is_sound = post(send(body))
        assert reply.choices[0].message.content == "whole"
        assert not is_sound

    @pytest.mark.parametrize("piece", [delta(5), delta({"text": "x"}), delta([[]]), delta("x", reasoning_content=5)])
    def test_fields_of_wrong_types_are_no_answer(self, piece: Any) -> None:
        assert post(send(stream(delta("It is "), piece, *LAST[1:])))[0].choices[0].message.content == "whole"
        assert post(send(stream(piece, delta("It is "), *LAST)))[0].choices[0].message.content == "whole"

    @pytest.mark.parametrize(
        "error",
        [
            event({"error": {"message": "out of memory"}}),
            event({"object": "error", "message": "out of memory"}),
            b'event: error\ndata: {"message": "out of memory"}\n\n',
            b"event: error\ndata: out of memory\n\n",
            b'error: {"message": "out of memory"}\n\n',
            event(
                {"choices": [{"delta": {}, "finish_reason": "error", "error": {"message": "out of memory"}}], "usage": USAGE}
            ),
        ],
    )
    def test_an_error_in_the_middle_is_no_answer(self, error: bytes) -> None:
        value = read(stream(delta("It is "), end=error) + stream(*LAST))
        assert "out of memory" in str(value.get("error") or value["choices"][0]["error"])

    def test_a_busy_error_in_the_middle_is_asked_again_and_streams_go_on(self) -> None:
        reply, _, is_sound = post(send(stream(delta("It"), {"error": {"code": 429, "message": "wait"}})))
        assert reply.choices[0].message.content == "whole"
        assert is_sound

    def test_a_connection_that_is_cut(self) -> None:
        chunk = stream(delta("It is "), end=b"")
        head = STREAM_HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")
        reply, pieces, is_sound = post(lambda e: e.send(head + f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"))
        assert reply.choices[0].message.content == "whole"
        assert (pieces, is_sound) == (1, False)


class TestBounds:
    def test_bytes_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_streams, "MAX_STREAM", 1 << 16)
        reply, *_ = post(lambda e: e.flood(STREAM_HEAD, stream(delta("x"), end=b"")))
        assert "more than" in str(reply)

    def test_a_line_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_streams, "MAX_REPLY", 1 << 16)
        reply, *_ = post(lambda e: e.flood(STREAM_HEAD + b"data: ", b"x" * 4096))
        assert "more than" in str(reply)

    @pytest.mark.slow
    def test_comments_without_end_end_in_time(self) -> None:
        reply, *_ = post(lambda e: e.drip(STREAM_HEAD, b": alive\n\n"), timeout=0.4)
        assert isinstance(reply, ChatReply | http.UnsoundReplyError)  # of the second try, which has as little time

    def test_a_line_in_many_packets_is_read_in_linear_time(self) -> None:
        body = stream(delta("x" * 400_000), *LAST)
        packets = [body[start : start + 16] for start in range(0, len(body), 16)]
        value = asyncio.run(http_streams.read_stream(packeted(packets), None))
        assert len(value["choices"][0]["message"]["content"]) == 400_000

    def test_names_without_end_are_not_kept(self) -> None:
        value = read(stream(delta("x"), *(delta(**{f"f{n}": "x"}) for n in range(200)), *LAST))
        assert len(value["choices"][0]["message"]) <= http_streams.MAX_FIELDS
        assert value["choices"][0]["message"]["content"] == "x"


class TestSecrets:
    KEY = "sk-Streamed/7153+abcdef="

    def test_a_key_cut_into_pieces_is_in_no_answer(self) -> None:
        pieces = [delta(self.KEY[start : start + 5]) for start in range(0, len(self.KEY), 5)]
        assert answer_of(stream(*pieces, *LAST), secret=self.KEY) == ("***", "")

    @pytest.mark.parametrize("cut", [1, 5, 11, 20])
    def test_nor_where_its_pieces_are_parts_of_lists_or_two_errors(self, cut: int) -> None:
        first, second = self.KEY[:cut], self.KEY[cut:]
        parts = [delta([{"type": "text", "text": piece}]) for piece in (first, second)]
        assert answer_of(stream(*parts, *LAST), secret=self.KEY) == ("***", "")
        details = [delta(reasoning_details=[{"text": piece}]) for piece in (first, second)]
        assert answer_of(stream(*details, *LAST), secret=self.KEY) == ("", "***")
        error, *_ = post(
            lambda exchange: exchange.send(
                STREAM_HEAD + f"event: error\ndata: bad {first}\ndata: {second} is refused\n\n".encode()
            ),
            secret=self.KEY,
            retries=0,
        )
        assert str(error).endswith(": is refused")

    def test_nor_in_an_error(self) -> None:
        errors = [event({"error": {"message": f"bad {self.KEY}"}}), f"event: error\ndata: {self.KEY}\n\n".encode()]

        def twice(error: bytes) -> Callable[[Exchange], None]:
            return lambda exchange: exchange.send(STREAM_HEAD + stream(delta("x"), end=error))

        for error in errors:
            with hostile_server.serve(twice(error)) as url:
                for text in refusals(url, self.KEY):
                    assert "***" in text
                    assert "Streamed" not in text


def refusals(url: str, key: str) -> Iterator[str]:
    """What a server's errors say that come in a stream, with one try and no other."""

    async def ask() -> str:
        server = http.JsonServer(parse_address(url, key), 20.0, retries=0)
        async with http.open_session(1) as session:
            with pytest.raises(http.UnsoundReplyError) as caught:
                await server.post(http.Connection(session), "/x", dict(http_streams.STREAM_FIELDS), ChatReply)
        return str(caught.value)

    yield asyncio.run(ask())


def test_the_bounds_are_those_that_the_page_names() -> None:
    assert (http_replies.MAX_REPLY, http_streams.MAX_STREAM) == (32 << 20, 64 << 20)
