"""Yet further replies of a hostile server: chunks, compression, sizes, replies that change, the key in disguise; odd keys."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib

from tests.hostile.key_disguises import DISGUISES, GZIP, keyed
from tests.support.hostile_server import (
    ANSWER,
    CELL,
    EITHER,
    ERROR,
    FINE,
    HEAD,
    MEGABYTE,
    QUESTION,
    Attack,
    Behaviour,
    Exchange,
    N,
    cut,
    echo_reply,
    finish,
    http_reply,
    json_reply,
    lie,
    make_gzip_bomb,
    message,
    offsets,
    raw,
    redirect,
    reply,
    usage,
)
from tests.support.odd_replies import ANY, READ, field

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MANY = 10**5


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def in_chunks(*parts: bytes, head: bytes = CHUNKED) -> Behaviour:
    return raw(head + b"".join(map(chunk, parts)) + b"0\r\n\r\n")


def in_turn(first: Behaviour, then: Behaviour) -> Behaviour:
    """One behaviour for the first request, the other for all later ones."""
    requests: list[Exchange] = []

    def behave(exchange: Exchange) -> None:
        requests.append(exchange)
        (first if len(requests) == 1 else then)(exchange)

    return behave


def half_of(data: bytes) -> Behaviour:
    """The beginning of a reply, then silence."""

    def behave(exchange: Exchange) -> None:
        exchange.send(data)
        exchange.over.wait(60)

    return behave


CHUNKS = [
    Attack("chunks of one byte", in_chunks(*(bytes([letter]) for letter in FINE)), ANSWER),
    Attack("gzip in a chunk", in_chunks(gzip.compress(FINE), head=CHUNKED.replace(b"chunked", b"gzip, chunked")), ANY),
    Attack("identity and chunks", in_chunks(FINE, head=CHUNKED.replace(b"chunked", b"identity, chunked")), ANY),
    Attack("a chunk size with an underscore", raw(CHUNKED + b"1_0\r\n" + FINE), EITHER),
    Attack("chunked twice", in_chunks(FINE, head=HEAD + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n"), ANY),
    Attack("a second reply behind the first", raw(http_reply(FINE) + http_reply(FINE.replace(b"18", b"19"))), ANSWER),
    Attack("NULs behind the reply", raw(http_reply(FINE).replace(b"close", b"keep-alive") + b"\0" * 1000), ANSWER),
    Attack("an odd keep-alive", reply(FINE, headers="Keep-Alive: timeout=99999999999999999999, max=-1\r\n"), ANSWER),
    Attack("a header of escapes", reply(FINE, headers="X-A: \x80\x9b31m\r\n"), ANY),
    Attack("a type of semicolons", reply(FINE, headers="Content-Type: ;;;===\r\n"), READ),
    Attack(
        "UTF-7", reply(codecs.encode(FINE.decode(), "utf-7"), headers="Content-Type: application/json; charset=utf-7\r\n"), READ
    ),
    Attack("a long charset", reply(FINE, headers="Content-Type: application/json; charset=" + "idna" * 5000 + "\r\n"), ANY),
    Attack("a byte order mark and blanks", reply(b"\xef\xbb\xbf \r\n\t" + FINE + b"\n\n"), READ),
    Attack("half a head", half_of(b"HTTP/1.1 200 OK\r\nContent-"), ERROR, timeout=0.4),
    Attack("a head and a byte", half_of(HEAD + b"Content-Length: 500\r\n\r\n{"), ERROR, timeout=0.4),
    Attack(
        "interim replies with heads, without end",
        lambda e: e.flood(b"", b"HTTP/1.1 102 Processing\r\nA: b\r\n\r\n"),
        EITHER,
        timeout=0.4,
    ),
]
COMPRESSED = [
    Attack(
        "a bomb in deflate",
        lambda e: e.send(http_reply(zlib.compress(MEGABYTE * 256), headers="Content-Encoding: deflate\r\n")),
        ERROR,
    ),
    Attack("a gzip bomb in an error", lambda e: e.send(http_reply(make_gzip_bomb(), "400 X", GZIP)), EITHER),
    Attack(
        "a gzip bomb in a chunk", lambda e: in_chunks(make_gzip_bomb(), head=CHUNKED[:-2] + GZIP.encode() + b"\r\n")(e), ERROR
    ),
    Attack(
        "a gzip bomb in gzip",
        lambda e: e.send(http_reply(gzip.compress(make_gzip_bomb()), headers="Content-Encoding: gzip, gzip\r\n")),
        EITHER,
    ),
    Attack("zstd", reply(b"\x28\xb5\x2f\xfd" + FINE, headers="Content-Encoding: zstd\r\n"), ERROR),
    Attack("identity", reply(FINE, headers="Content-Encoding: identity\r\n"), READ),
]
CONTENTS = [
    Attack("2 million keys", lambda e: field(b'"x": {' + b",".join(b'"%x":0' % i for i in range(2_000_000)) + b"}")(e), READ),
    Attack("20 million lists", lambda e: field(b'"x": [' + b"[]," * 20_000_000 + b"[]]")(e), READ),
    Attack("190 lists in one another", field(b'"x": ' + b"[" * 190 + b"]" * 190), READ),
    Attack("parts in lists", message({"content": [[[[{"type": "text", "text": "18"}]]]]}), ERROR),
    Attack("tokens with exponents", usage('{"prompt_tokens": 1e18, "completion_tokens": 1E1}'), READ),
    Attack("tokens as text", usage('{"prompt_tokens": "3", "completion_tokens": "1"}'), READ),
    Attack(
        "reasoning tokens below 0", usage('{"prompt_tokens": 3, "completion_tokens_details": {"reasoning_tokens": -5}}'), READ
    ),
    Attack("odd tokens of the cache", usage('{"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": "x"}}'), READ),
    Attack("a million NULs", message({"content": "\0" * 1_000_000}), READ),
    Attack("an answer of escapes", message({"content": "\x1b[2J\x9b\u202e18"}), ANSWER),
    Attack("500,000 accents", message({"content": "18" + "\u0301" * 500_000}), ANSWER),
    Attack("100,000 beginnings of reasoning", message({"content": "<think>" * MANY + "18"}), ANSWER),
    Attack("reasoning of 5 MB", message({"content": "18", "reasoning_content": "<think>" * 700_000}), READ),
    Attack("the role of a tool", message({"role": "tool", "content": "18", "tool_call_id": ["x"]}), READ),
    Attack("a call of older kind", message({"content": None, "function_call": {"name": "f", "arguments": "{}"}}), ERROR),
    Attack("a piece of a stream", json_reply({"choices": [{"delta": {"content": "18"}, "finish_reason": "stop"}]}), ERROR),
    Attack(
        "neither text nor message", json_reply({"choices": [{"text": None, "message": None, "finish_reason": "stop"}]}), ERROR
    ),
    Attack(
        "10,000 choices",
        json_reply({"choices": [{"index": i, "message": {"content": str(i)}, "finish_reason": "stop"} for i in range(10_000)]}),
        READ,
    ),
    Attack("an object as the reason to stop", finish({"reason": "stop"}), ERROR),
]
ERRORS = [
    Attack(
        "an error in the choice",
        json_reply(
            {"choices": [{"error": {"message": "\x1b[2J", "code": 502}, "message": {"content": ""}, "finish_reason": "error"}]}
        ),
        ERROR,
    ),
    Attack("429 as text", json_reply({"error": {"message": "wait", "code": "429"}}), EITHER),
    Attack("an error of code 10^400", reply(b'{"error": {"message": "x", "code": 1' + b"0" * 400 + b"}}"), EITHER),
    Attack("an error of code NaN", reply(b'{"error": {"message": "x", "code": NaN}}'), EITHER),
    Attack("an error in a list", json_reply({"detail": [{"loc": ["body", "messages"], "msg": "\x1b[31m"}]}, "422 X"), EITHER),
    Attack(
        "a long context in odd words",
        json_reply({"error": {"message": f"maximum context length is 10 tokens, not {'9' * 23}"}}, "400 X"),
        EITHER,
    ),
    Attack(
        "a context of 100,000 digits",
        json_reply({"error": {"message": f"maximum context length is {'9' * MANY} tokens"}}, "400 X"),
        EITHER,
    ),
    Attack("an error of 200,000 brackets", json_reply({"error": {"message": "(" * 200_000}}, "400 X"), EITHER),
    Attack(
        "pauses in other headers",
        reply(b"busy", "429 X", "retry-after-ms: NaN\r\nx-ratelimit-reset-requests: 99999999h\r\n"),
        CELL,
    ),
    *(
        Attack(f"Retry-After: {date}", reply(b"busy", "503 X", f"Retry-After: {date}\r\n"), EITHER)
        for date in ("Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 99 Dec 99999 99:99:99 +9999")
    ),
    Attack(
        "a redirect with the key", keyed(lambda _: b"", "307 X", lambda key: f"Location: http://{key}@127.0.0.1:9/v1\r\n"), CELL
    ),
    Attack("a redirect of 60,000 letters", redirect("308 X", "/" + "a" * 60_000), EITHER),
    Attack("a redirect of escapes", redirect("302 X", "http://\x9b31m/"), EITHER),
    Attack("a redirect to a cloud's keys", redirect("302 X", "http://169.254.169.254/latest/meta-data/"), CELL),
    Attack("busy, then the key", in_turn(reply(b"busy", "429 X", "Retry-After: 0\r\n"), keyed(str, "401 X")), CELL),
    Attack("500, then a cut body", in_turn(reply(b"x", "500 X"), cut(1000, FINE)), EITHER),
    Attack("a cut body, then a sound one", in_turn(cut(1000, FINE), reply(FINE)), READ),
]
CHOICES = [
    Attack("tokens in hex", lie(tokens=[b"x".hex()] * N), READ, choices=True),
    Attack(
        "a log-probability of -1e400", reply(json.dumps(echo_reply(QUESTION)).replace("-1.0", "-1e400").encode()), ERROR, True
    ),
    Attack("log-probabilities in lists", lie(token_logprobs=[[None]] + [[-1.0]] * (N - 1)), ERROR, choices=True),
    Attack("offsets of 1e308", offsets([1e308] * N), ERROR, choices=True),
    Attack("offsets that begin at 1", offsets([n + 1 for n in range(N)]), READ, choices=True),
    Attack("tokens of another text", lie(tokens=["?"] * N), READ, choices=True),
    Attack("likeliest tokens in objects", lie(top_logprobs=[None] + [{"a": {"b": -1.0}}] * (N - 1)), ERROR, choices=True),
    Attack("an echo of a megabyte", lambda e: json_reply(echo_reply(QUESTION * MANY))(e), ERROR, choices=True),
    Attack(
        "log-probabilities of a chat",
        json_reply(
            {
                "choices": [
                    {
                        "text": "",
                        "logprobs": {"content": [{"token": "4", "logprob": -1.0, "top_logprobs": []}]},
                        "finish_reason": "length",
                    }
                ]
            }
        ),
        EITHER,
        choices=True,
    ),
]
FURTHER_REPLIES = [*CHUNKS, *COMPRESSED, *CONTENTS, *ERRORS, *DISGUISES, *CHOICES]
