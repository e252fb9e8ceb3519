"""A server that lies, breaks or attacks: one reply for each way in which it does, over a bare socket."""

import base64
import gzip
import json
import socket
import socketserver
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from tests.hostile.command_runner import SOUND, ask_server
from tests.support.local_server import run_server

KEY = "sk-Hostile/7153+abcdef="
MEGABYTE = b" " * (1 << 20)


@dataclass
class Exchange:
    """One request to the server.  `over`: set when the server stops."""

    connection: socket.socket
    authorization: str
    over: threading.Event

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def drip(self, head: bytes, piece: bytes) -> None:
        """A piece every tenth of a second, without end."""
        self.send(head)
        while not self.over.wait(0.1):
            self.send(piece)

    def flood(self, head: bytes, piece: bytes) -> None:
        """As fast as it goes, up to 2 GB."""
        self.send(head)
        for _ in range((2 << 30) // len(piece)):
            if self.over.is_set():
                return
            self.send(piece)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Behaviour = Callable[[Exchange], object]


@dataclass(frozen=True)
class Attack:
    """`wanted`: what a request that gets this reply ends with: "answer", "error" (of the request alone) or "cell"."""

    name: str
    behaviour: Behaviour
    wanted: tuple[str, ...]
    choices: bool = False  # whether the request is one with choices
    timeout: float = 30.0  # seconds that a request may take: few where nothing ends by itself
    key: str = KEY


@contextmanager
def serve(behaviour: Behaviour) -> Iterator[str]:
    """The address of a server that answers SOUND questions, and does `behaviour` to all others."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                head, body = read_request(self.request)
                content = json.loads(body)
                if SOUND in json.dumps(content):
                    self.request.sendall(http_reply(json.dumps(sound_reply(content)).encode()))
                    return
                lines = head.decode("latin-1").split("\r\n")
                values = [line.partition(": ")[2] for line in lines if line.lower().startswith("authorization:")]
                behaviour(Exchange(self.request, values[0] if values else "", over))
            except (OSError, ValueError):
                pass  # the client has had enough

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with run_server(Server(("127.0.0.1", 0), Handler)) as address:
        try:
            yield address
        finally:
            over.set()


def read_request(connection: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := connection.recv(65536)):
            raise ValueError("no request")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head, body


def sound_reply(content: dict[str, Any]) -> dict[str, Any]:
    """A text; or, for a prompt that is to be given back, a token for each character."""
    if not content.get("echo"):
        return text_reply("fine")
    return echo_reply(content["prompt"])


def text_reply(text: Any, **fields: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": text}, "text": text, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}} | fields


def echo_reply(text: str, new_tokens: int = 1, **fields: Any) -> dict[str, Any]:
    letters = [*text, "!"]
    logprobs: dict[str, Any] = {
        "tokens": letters,
        "token_logprobs": [None] + [-1.0] * len(text),
        "text_offset": list(range(len(letters))),
        "top_logprobs": [None] + [{letter: -1.0} for letter in letters[1:]],
    }
    usage = {"prompt_tokens": len(text), "completion_tokens": new_tokens}
    return {"choices": [{"text": text, "logprobs": logprobs | fields, "finish_reason": "length"}], "usage": usage}


def http_reply(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n".encode("latin-1") + body


def reply(body: bytes, status: str = "200 OK", headers: str = "") -> Behaviour:
    return lambda exchange: exchange.send(http_reply(body, status, headers))


def json_reply(value: Any, status: str = "200 OK") -> Behaviour:
    return reply(json.dumps(value).encode(), status)


def echo(form: Callable[[str], str], status: str = "401 Unauthorized", whole: bool = False) -> Behaviour:
    """The key as `form` writes it, in an error; or, with `whole`, in what is meant to be an answer."""

    def behave(exchange: Exchange) -> None:
        text = form(exchange.authorization.removeprefix("Bearer "))
        exchange.send(http_reply(json.dumps(text_reply(text)).encode() if whole else f"bad key {text}".encode(), status))

    return behave


def message(value: Any) -> Behaviour:
    return json_reply({"choices": [{"message": value, "finish_reason": "stop"}], "usage": {}})


def usage(value: str) -> Behaviour:
    return reply(json.dumps(text_reply("18"))[:-1].encode() + b', "usage": ' + value.encode() + b"}")


def finish(value: Any) -> Behaviour:
    return json_reply({"choices": [{"message": {"content": "18"}, "finish_reason": value}]})


def redirect(status: str, to: str) -> Behaviour:
    return reply(b"", status, f"Location: {to}\r\n")


QUESTION = "2 + 2 = 4"  # prompt and choice of the requests with choices


def lie(**fields: Any) -> Behaviour:
    """Log-probabilities of which some fields are others."""
    return json_reply(echo_reply(QUESTION, **fields))


def offsets(values: list[Any]) -> Behaviour:
    return lie(text_offset=values)


@cache
def make_gzip_bomb() -> bytes:
    """Some kilobytes that are 128 MB."""
    return gzip.compress(MEGABYTE * 128, 6)


def cut(length: int, after: bytes = b"", reset: bool = False) -> Behaviour:
    """A body that is shorter than its head says."""

    def behave(exchange: Exchange) -> None:
        if reset:
            exchange.reset()
        exchange.send(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + after)

    return behave


def raw(data: bytes) -> Behaviour:
    return lambda exchange: exchange.send(data)


ERROR, CELL, ANSWER = ("error",), ("cell",), ("answer",)
EITHER = ("error", "cell")
HEAD = b"HTTP/1.1 200 OK\r\n"
N = len(QUESTION) + 1
FINE = json.dumps(text_reply("18")).encode()

ENDLESS: list[tuple[str, Behaviour, tuple[str, ...]]] = [
    ("an endless body", lambda exchange: exchange.flood(HEAD + b"\r\n", MEGABYTE), ERROR),
    ("an endless error", lambda exchange: exchange.flood(b"HTTP/1.1 400 X\r\n\r\n", b"x" * (1 << 20)), ERROR),
    ("endless chunks", lambda e: e.flood(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 9999), ERROR),
    ("endless interim replies", lambda exchange: exchange.flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), EITHER),
    ("endless headers", lambda exchange: exchange.flood(HEAD, b"A: b\r\n" * 1000), EITHER),
    ("a body that drips", lambda exchange: exchange.drip(HEAD + b"Content-Length: 100000\r\n\r\n{", b" "), ERROR),
    ("an error that drips", lambda exchange: exchange.drip(b"HTTP/1.1 400 X\r\n\r\n", b"x"), ERROR),
    ("headers that drip", lambda exchange: exchange.drip(HEAD, b"A: b\r\n"), ERROR),
    ("a status line that drips", lambda exchange: exchange.drip(b"HTTP/1.1 200 ", b"O"), ERROR),
    ("silence", lambda exchange: exchange.over.wait(60), ERROR),
]

ATTACKS = [
    # what is no reply at all
    *(Attack(f"JSON {body.decode()}", reply(body), ERROR) for body in (b"[1,2]", b"3", b'"x"', b"null", b"true", b"{}")),
    Attack("HTML", reply(b"<html>log in</html>"), ERROR),
    Attack("an empty body", reply(b""), ERROR),
    # The connection ends unannounced: the second try meets the end of it, or a new one.
    Attack("204 without a body", raw(b"HTTP/1.1 204 No Content\r\n\r\n"), EITHER),
    Attack("half a JSON", reply(FINE[:-9]), ERROR),
    Attack("two JSON values", reply(FINE + FINE), ERROR),
    Attack("100,000 arrays in one another", reply(b"[" * 100_000), ERROR),
    Attack("100,000 objects in one another", reply(b'{"choices":' * 100_000), ERROR),
    Attack("deep in a field that nobody reads", reply(FINE[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}"), ERROR),
    Attack("bad UTF-8", reply(FINE.replace(b"18", b"\xff\xfe")), ERROR),
    Attack("UTF-16", reply(FINE.decode().encode("utf-16")), ERROR),
    Attack("a lone surrogate", reply(FINE.replace(b"18", rb"\ud800 18")), ANSWER),  # half a character is kept as U+FFFD
    # types
    Attack("no choices", json_reply({"usage": {}}), ERROR),
    *(Attack(f"choices {value}", json_reply({"choices": value}), ERROR) for value in ([], None, {"a": 1}, [None], ["x"], 7)),
    *(Attack(f"message {value}", message(value), ERROR) for value in (None, [], "x", {"content": 18}, {"content": True})),
    *(Attack(f"content {value}", message({"content": value}), ERROR) for value in ({"text": "18"}, ["18"], [[]])),
    Attack("a picture", message({"content": [{"type": "image_url", "image_url": "x"}]}), ERROR),
    Attack("parts that hold numbers", message({"content": [{"type": "text", "text": 18}]}), ERROR),
    Attack("reasoning that is a number", message({"content": "18", "reasoning_content": 5}), ERROR),
    *(
        Attack(f"usage {value}", usage(value), ERROR)
        for value in (
            *("[1]", '"many"', '{"prompt_tokens": "many"}', '{"prompt_tokens": NaN}', '{"completion_tokens": 1e400}'),
            *('{"prompt_tokens": -1}', f'{{"completion_tokens": {10**30}}}', '{"prompt_tokens": 1.5}'),
        )
    ),
    *(Attack(f"finish {value!r}", finish(value), ERROR) for value in (5, ["stop"], "error", "tool_calls", "\x1b[2J")),
    # errors in other clothes
    Attack("an error with status 200", json_reply({"error": {"message": "overloaded"}}), ERROR),
    Attack("an error as text with status 200", json_reply({"error": "overloaded"}), ERROR),
    Attack("an error with a list as code", json_reply({"error": {"message": "wait", "code": [429]}}), ERROR),
    Attack("a busy error with status 200", json_reply({"error": {"message": "wait", "code": 429}}), CELL),
    Attack("an error that is a list", json_reply([1], "400 Bad Request"), ERROR),
    Attack("an error that is deep", reply(b"[" * 100_000, "400 Bad Request"), ERROR),
    Attack("an error that is bytes", reply(bytes(range(256)), "400 Bad Request"), ERROR),
    Attack("an error that is cut", raw(b"HTTP/1.1 400 X\r\nContent-Length: 100\r\n\r\nshort"), ERROR),
    Attack("an error 500 that is cut", raw(b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nshort"), ERROR),
    Attack("terminal escapes", reply(b"\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m bad key", "401 Unauthorized"), CELL),
    Attack("letters that turn the line", reply("\u202egnirts".encode(), "401 Unauthorized"), CELL),
    Attack("status 500 for ever", reply(b"broken", "500 X"), ERROR),
    *(Attack(f"status {status}", reply(b"{}", f"{status} X"), EITHER) for status in ("000", "600", "999", "-1", "300")),
    Attack("switching protocols", raw(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), EITHER),
    # HTTP that is none, and connections that break
    Attack("another protocol", raw(b"SSH-2.0-OpenSSH_9.9\r\n"), EITHER),
    Attack("HTTP 0.9", raw(FINE), EITHER),
    Attack("closed at once", lambda exchange: None, CELL),
    Attack("reset at once", lambda exchange: exchange.reset(), CELL),
    Attack("reset in the body", cut(1000, FINE, reset=True), EITHER),
    Attack("a body that is cut", cut(1000, FINE), ERROR),
    Attack("a body of 10^18 bytes", cut(10**18, FINE), ERROR),
    Attack("a negative length", cut(-5, FINE), EITHER),
    Attack("two lengths", raw(HEAD + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n" + FINE), EITHER),
    Attack("chunks that are cut", raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}"), ERROR),
    Attack("chunks of no size", raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}"), EITHER),
    Attack("10,000 headers", raw(HEAD + b"".join(b"A%d: b\r\n" % n for n in range(10_000)) + b"\r\n"), EITHER),
    Attack("a header of 10 MB", raw(HEAD + b"A: " + b"b" * 10_000_000 + b"\r\n\r\n"), EITHER),
    # without end
    *(Attack(name, behaviour, wanted, timeout=0.4) for name, behaviour, wanted in ENDLESS),
    # compression
    Attack("a gzip bomb", lambda e: e.send(http_reply(make_gzip_bomb(), headers="Content-Encoding: gzip\r\n")), ERROR),
    Attack("gzip that is none", reply(FINE, headers="Content-Encoding: gzip\r\n"), ERROR),
    Attack("gzip that is cut", reply(gzip.compress(FINE)[:-12], headers="Content-Encoding: gzip\r\n"), ERROR),
    Attack("an encoding that is unknown", reply(FINE, headers="Content-Encoding: br\r\n"), ERROR),
    Attack("gzip, as it should be", reply(gzip.compress(FINE), headers="Content-Encoding: gzip\r\n"), ANSWER),
    Attack("deflate, as it should be", reply(zlib.compress(FINE), headers="Content-Encoding: deflate\r\n"), ANSWER),
    # how long to wait
    *(
        Attack(f"Retry-After: {text}", reply(b"busy", "429 X", f"Retry-After: {text}\r\n"), CELL)
        for text in ("\xb2", "Wed, 21 Oct 2026 07:28:00 GMT", "1000000000", "-5", "nan", "inf", "1e999", "soon")
    ),
    Attack("a 429 that no pause ends", json_reply({"error": {"code": "insufficient_quota"}}, "429 X"), CELL),
    # elsewhere
    *(
        Attack(f"redirect {status}", redirect(f"{status} X", "http://127.0.0.1:9/v1/steal"), CELL)
        for status in (301, 302, 303, 307, 308)
    ),
    Attack("redirect to a file", redirect("302 X", "file:///etc/passwd"), CELL),
    Attack("redirect without end", redirect("302 X", "/v1/chat/completions"), CELL),
    # the key comes back
    *(Attack(f"the key with {code}", echo(str, f"{code} X"), EITHER) for code in (400, 401, 403, 404, 422, 429, 500)),
    Attack("the key in quotes", echo(lambda key: f"'{key}'"), CELL),
    Attack("the key percent-encoded", echo(lambda key: quote(key, safe="")), CELL),
    Attack("the key percent-encoded, every letter", echo(lambda key: "".join(f"%{ord(c):02X}" for c in key)), CELL),
    Attack("the key in base64", echo(lambda key: base64.b64encode(key.encode()).decode()), CELL),
    Attack("the whole header in base64", echo(lambda key: base64.b64encode(f"Bearer {key}\n".encode()).decode()), CELL),
    Attack("the key in base64 for addresses", echo(lambda key: base64.urlsafe_b64encode(f"ab{key}c".encode()).decode()), CELL),
    Attack("the key in hex", echo(lambda key: key.encode().hex()), CELL),
    Attack("the key in capitals", echo(str.upper), CELL),
    Attack("the key backwards", echo(lambda key: key[::-1]), CELL),
    Attack("the key cut short", echo(lambda key: key[:-3] + "..."), CELL),
    Attack("the key at the end of many words", echo(lambda key: "x" * 270 + key), CELL),
    Attack("the key in the status line", lambda e: e.send(http_reply(b"", f"401 {e.authorization}")), CELL),
    Attack("the key where to go", lambda e: e.send(http_reply(b"", "302 X", f"Location: /{e.authorization}\r\n")), CELL),
    Attack("the key as a header that is none", lambda e: e.send(HEAD + e.authorization.encode() + b"\r\n\r\n"), EITHER),
    Attack("the key as a wrong type", lambda e: e.send(http_reply(json.dumps([e.authorization]).encode())), ERROR),
    Attack("the key as the reason to stop", lambda e: finish(e.authorization)(e), ERROR),
    Attack("the key in the answer", echo(str, "200 OK", whole=True), ANSWER),
    Attack("the key in the answer, escaped", lambda e: e.send(http_reply(escape_all(e.authorization))), ANSWER),
    # choices
    Attack("log-probabilities, as they should be", json_reply(echo_reply(QUESTION)), ANSWER, choices=True),
    *(
        Attack(f"log-probabilities {value}", json_reply({"choices": [{"text": "", "logprobs": value}]}), EITHER, choices=True)
        for value in (None, {}, [], {"token_logprobs": None}, {"token_logprobs": [], "text_offset": []}, 5)
    ),
    *(
        Attack(f"a log-probability of {value}", lie(token_logprobs=[None, value] + [-1.0] * (N - 2)), ERROR, choices=True)
        for value in (float("nan"), float("inf"), float("-inf"), 5.0, "many", [], True)
    ),
    Attack("the last log-probability of NaN", lie(token_logprobs=[None] + [-1.0] * (N - 2) + [float("nan")]), ERROR, True),
    Attack("too few log-probabilities", lie(token_logprobs=[None, -1.0, -1.0]), ERROR, choices=True),
    Attack("too many log-probabilities", lie(token_logprobs=[None] + [-1.0] * 99), ERROR, choices=True),
    Attack("no log-probability at all", lie(token_logprobs=[None] * N), ERROR, choices=True),
    Attack("offsets that go backwards", offsets(list(range(N))[::-1]), ERROR, choices=True),
    Attack("offsets that are all 0", offsets([0] * N), ERROR, choices=True),
    Attack("offsets behind the text", offsets([100 * n for n in range(N)]), ERROR, choices=True),
    Attack("offsets of half the text", offsets([n // 2 for n in range(N)]), ERROR, choices=True),
    Attack("offsets below 0", offsets([n - 4 for n in range(N)]), ERROR, choices=True),
    Attack("offsets that are no numbers", offsets(["a"] * N), ERROR, choices=True),
    Attack("offsets between letters", offsets([n + 0.5 for n in range(N)]), ERROR, choices=True),
    Attack("too few offsets", offsets([0, 1]), ERROR, choices=True),
    Attack("no tokens", lie(tokens=[]), ERROR, choices=True),
    Attack("tokens that are numbers", lie(tokens=[1] * N), ERROR, choices=True),
    Attack("10^6 new tokens", json_reply(echo_reply(QUESTION, new_tokens=10**6)), EITHER, choices=True),
    Attack("the log-probabilities of another text", json_reply(echo_reply("2 + 2")), ERROR, choices=True),
    Attack("too few likeliest tokens", lie(top_logprobs=[None, {"a": -1.0}]), ERROR, choices=True),
    Attack("a likeliest token of NaN", lie(top_logprobs=[None] + [{"a": float("nan")}] * (N - 1)), ERROR, choices=True),
]


def escape_all(text: str) -> bytes:
    """An answer whose text is written in JSON's escapes alone."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in text)
    return FINE.replace(b'"18"', f'"{escaped}"'.encode())


@dataclass(frozen=True)
class Ending:
    """What became of a request to a hostile server: "answer", "error", "cell", or the name of an exception that is not ours.

    `sound`: whether the request before it, which was answered well, has its answer.  `text`: all that anybody could read of it.
    """

    kind: str
    sound: bool
    text: str

    @property
    def leaks(self) -> bool:
        """Whether the key is in it, in any form."""
        data, text = KEY.encode(), self.text.lower()
        forms = [KEY, KEY[:12], KEY[::-1], quote(KEY, safe=""), data.hex(), base64.b64encode(data).decode()[:12]]
        shifted = [base64.b64encode(b"x" * n + data)[4:16].decode() for n in (1, 2)]
        every_letter = "".join(f"%{ord(letter):02x}" for letter in KEY)
        return any(form.lower() in text for form in (*forms, *shifted, every_letter))

    @property
    def is_raw(self) -> bool:
        """Whether it holds what a terminal would obey."""
        return any(not letter.isprintable() and letter != "\n" for letter in self.text)


def attack(one: Attack) -> Ending:
    """Asks a sound question, then one that is answered with the attack."""
    choices = (QUESTION[:-4], QUESTION[-4:]) if one.choices else ()
    with serve(one.behaviour) as url:
        return Ending(**ask_server(url, one.key, choices, one.timeout))
