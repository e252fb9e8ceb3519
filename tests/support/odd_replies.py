"""Further replies of a hostile server: JSON, compression and HTTP as no honest program writes them, and odd answers."""

from __future__ import annotations

import gzip
import json
import zlib

from tests.support.hostile_server import (
    ANSWER,
    CELL,
    EITHER,
    ERROR,
    FINE,
    HEAD,
    QUESTION,
    Attack,
    Behaviour,
    echo_reply,
    finish,
    json_reply,
    lie,
    message,
    offsets,
    raw,
    redirect,
    reply,
    text_reply,
    usage,
)

READ, ANY = ("error", "answer"), ("error", "cell", "answer")
N0 = len(QUESTION) + 1


def field(text: bytes) -> Behaviour:
    """An answer with one field more, which nobody reads."""
    return reply(FINE[:-1] + b", " + text + b"}")


def content(text: bytes) -> Behaviour:
    """An answer with this JSON as its content."""
    return reply(FINE.replace(b'"18"', text))


ODD_REPLIES = [
    Attack("keys twice: content", reply(FINE.replace(b'"content": "18"', b'"content": "17", "content": "18"')), READ),
    Attack("choices twice", reply(FINE[:-1] + b', "choices": []}'), ERROR),
    Attack("1e999 in a field nobody reads", field(b'"x": 1e999'), READ),
    Attack("10^6 digits", field(b'"x": ' + b"7" * 10**6), READ),
    Attack("10^6 digit created", field(b'"created": ' + b"7" * 10**6), READ),
    Attack("tokens 10^6 digits", usage('{"prompt_tokens": ' + "9" * 10**6 + "}"), ERROR),
    Attack("tokens -0.0", usage('{"prompt_tokens": -0.0}'), READ),
    Attack("tokens true", usage('{"prompt_tokens": true}'), READ),
    Attack("tokens 1e3", usage('{"prompt_tokens": 1e3}'), READ),
    Attack("surrogate key", field(b'"\\ud800": 1'), READ),
    Attack("BOM", reply(b"\xef\xbb\xbf" + FINE), READ),
    Attack("UTF-32", reply(FINE.decode().encode("utf-32")), ERROR),
    Attack("surrogate pair of bytes", reply(FINE.replace(b"18", b"\xed\xa0\x80")), ERROR),
    Attack(
        "latin-1 charset",
        reply(FINE.replace(b"18", b"\xe9"), headers="Content-Type: application/json; charset=latin-1\r\n"),
        READ,
    ),
    Attack("charset evil", reply(FINE, headers="Content-Type: application/json; charset=\x1b[2J\r\n"), READ),
    Attack("content of 60 MB", content(b'"' + b"x" * 60_000_000 + b'"'), READ),
    Attack("200,000 keys", field(b",".join(b'"k%d":1' % i for i in range(200000))), READ),
    Attack(
        "multipart", reply(b"--x\r\n\r\n" + FINE + b"\r\n--x--", headers="Content-Type: multipart/mixed; boundary=x\r\n"), ERROR
    ),
    Attack(
        "event stream", reply(b"data: " + FINE + b"\n\ndata: [DONE]\n\n", headers="Content-Type: text/event-stream\r\n"), READ
    ),
    Attack("JSON lines", reply(FINE + b"\n" + FINE), ERROR),
    Attack("JSONP", reply(b"f(" + FINE + b")"), ERROR),
    Attack("gzip twice", reply(gzip.compress(gzip.compress(FINE)), headers="Content-Encoding: gzip, gzip\r\n"), READ),
    Attack("gzip 20 times", reply(FINE, headers="Content-Encoding: " + ", ".join(["gzip"] * 2000) + "\r\n"), ERROR),
    Attack("gzip without saying so", reply(gzip.compress(FINE)), ERROR),
    Attack("gzip with trailing garbage", reply(gzip.compress(FINE) + b"xx", headers="Content-Encoding: gzip\r\n"), READ),
    Attack(
        "gzip members bomb",
        reply(gzip.compress(b"") * 200000 + gzip.compress(FINE), headers="Content-Encoding: gzip\r\n"),
        READ,
    ),
    Attack("deflate raw", reply(zlib.compress(FINE)[2:-4], headers="Content-Encoding: deflate\r\n"), READ),
    Attack("chunk size huge", raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n" + FINE), EITHER),
    Attack("chunk size negative", raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n" + FINE), EITHER),
    Attack("chunk size 10^6 digits", raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 10**6 + b"\r\n"), EITHER),
    Attack(
        "chunk extensions endless",
        lambda e: e.flood(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 10_000),
        EITHER,
        timeout=0.4,
    ),
    Attack(
        "chunk trailers endless",
        lambda e: e.flood(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 1000),
        EITHER,
        timeout=0.4,
    ),
    Attack("length 10^6 digits", raw(HEAD + b"Content-Length: " + b"9" * 10**6 + b"\r\n\r\n"), EITHER),
    Attack("length of digits in other scripts", raw(HEAD + "Content-Length: \u0665".encode() + b"\r\n\r\n" + FINE), ANY),
    Attack("length +5", raw(HEAD + b"Content-Length: +%d\r\n\r\n" % len(FINE) + FINE), ANY),
    Attack(
        "length and chunks",
        raw(HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(FINE) + FINE + b"\r\n0\r\n\r\n"),
        ANY,
    ),
    Attack("status line 10 MB", raw(b"HTTP/1.1 200 " + b"x" * 10_000_000 + b"\r\n\r\n"), EITHER),
    Attack("HTTP/9.9", raw(b"HTTP/9.9 200 OK\r\nContent-Length: %d\r\n\r\n" % len(FINE) + FINE), ANY),
    Attack("header names with NUL", raw(HEAD + b"A\0: b\r\nContent-Length: %d\r\n\r\n" % len(FINE) + FINE), ANY),
    Attack("folded headers", raw(HEAD + b"A: b\r\n " + b"x\r\n " * 5000 + b"\r\n\r\n"), EITHER),
    Attack("bare LF", raw(b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(FINE) + FINE), ANY),
    Attack("HTTP/2 preface", raw(b"\0\0\x12\4\0\0\0\0\0" + b"\0" * 18), EITHER),
    Attack("103 early hints drip", lambda e: e.drip(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), EITHER, timeout=0.4),
    Attack("300 choices", redirect("300 X", "/x"), EITHER),
    Attack("Refresh header", reply(b"", headers="Refresh: 0; url=http://127.0.0.1:9/\r\n"), ERROR),
    Attack("cookie bomb", reply(FINE, headers="".join(f"Set-Cookie: a{i}={'x' * 900}\r\n" for i in range(60))), ANY),
    Attack("WWW-Authenticate", reply(b"", "401 X", 'WWW-Authenticate: Basic realm="\x1b]0;x\x07"\r\n'), EITHER),
    Attack("Retry-After huge digits", reply(b"busy", "429 X", "Retry-After: " + "9" * 5000 + "\r\n"), CELL),
    Attack("Retry-After fraction", reply(b"busy", "429 X", "Retry-After: 1/0\r\n"), CELL),
    Attack("503 html 5 MB", reply(b"<p>" * 2_000_000, "503 X"), EITHER),
    Attack("error message object deep", json_reply({"error": {"message": {"a": [1]}, "type": 5}}, "400 X"), ERROR),
    Attack("error message 10 MB", json_reply({"error": {"message": "x" * 10_000_000}}, "400 X"), EITHER),
    Attack("error with bidi and NUL", json_reply({"error": {"message": "a\0b\u202ec\u2066"}}, "400 X"), EITHER),
    Attack("finish null", finish(None), READ),
    Attack("finish 10^6 letters", finish("x" * 10**6), ERROR),
    Attack("sound instead", message({"content": None, "audio": {"id": "a", "data": "UklGRg=="}}), ERROR),
    Attack("a picture instead", message({"content": "", "images": [{"url": "data:image/png;base64,"}]}), ERROR),
    Attack(
        "tool calls instead", message({"content": None, "tool_calls": [{"function": {"name": 5, "arguments": "{"}}]}), ERROR
    ),
    Attack("refusal", message({"content": None, "refusal": "no"}), READ),
    Attack("content parts 10^4", message({"content": [{"type": "text", "text": "a"}] * 10_000}), READ),
    Attack("content part types", message({"content": [{"type": ["text"], "text": "a"}]}), ERROR),
    Attack("content part recursion", message({"content": [{"type": "text", "text": {"type": "text", "text": "a"}}]}), ERROR),
    Attack(
        "two choices",
        json_reply(
            {
                "choices": [
                    {"message": {"content": "a"}, "finish_reason": "stop"},
                    {"message": {"content": "b"}, "finish_reason": "stop"},
                ],
                "usage": {},
            }
        ),
        READ,
    ),
    Attack(
        "choice index wrong",
        json_reply({"choices": [{"index": 7, "message": {"content": "a"}, "finish_reason": "stop"}], "usage": {}}),
        READ,
    ),
    Attack("choices as string", json_reply({"choices": "abc", "usage": {}}), ERROR),
    Attack("message role", message({"role": ["x"], "content": "a"}), READ),
    Attack("model another", json_reply(text_reply("18", model="other\x1b[2J")), ANY),
    Attack("reasoning list", message({"content": "18", "reasoning": ["a"]}), READ),
    Attack("logprob -1e308", lie(token_logprobs=[None] + [-1e308] * (N0 - 1)), READ, choices=True),
    Attack("logprob -0.0", lie(token_logprobs=[None] + [-0.0] * (N0 - 1)), ANSWER, choices=True),
    Attack("logprob 1e-9 above 0", lie(token_logprobs=[None] + [1e-9] * (N0 - 1)), READ, choices=True),
    Attack(
        "logprob 10^5000 digits",
        reply(json.dumps(echo_reply(QUESTION)).replace("-1.0", "-" + "9" * 6000).encode()),
        ERROR,
        choices=True,
    ),
    Attack("offsets 10^30", offsets([10**30] * N0), ERROR, choices=True),
    Attack("offsets true", offsets([True] * N0), ERROR, choices=True),
    Attack("top logprobs list", lie(top_logprobs=[None] + [[["a", -1.0]]] * (N0 - 1)), ERROR, choices=True),
    Attack(
        "top logprobs 10^5", lie(top_logprobs=[None] + [{str(i): -1.0 for i in range(20000)}] * (N0 - 1)), READ, choices=True
    ),
    Attack("tokens surrogates", lie(tokens=["\ud800"] * N0), READ, choices=True),
    Attack(
        "logprobs twice",
        reply(json.dumps(echo_reply(QUESTION)).replace('"text_offset"', '"token_logprobs": [], "text_offset"', 1).encode()),
        ERROR,
        choices=True,
    ),
]
