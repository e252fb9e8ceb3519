"""Replies that come in pieces (server-sent events), put together to the reply that would have come whole.

Source of the form: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from harness.http_replies import MAX_REPLY, UNSOUND_TRIES, TryError, decode_json, read_parts

if TYPE_CHECKING:
    from aiohttp import ClientResponse

STREAM_FIELDS: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
MAX_STREAM = 2 * MAX_REPLY  # bytes: each token comes in an envelope of some hundred
MAX_FIELDS = 32  # of a message
END = b"[DONE]"
UNREAD = (b"", b"id", b"retry")  # fields of an event that say nothing of a reply; "": a comment


def is_stream(response: ClientResponse) -> bool:
    return response.content_type.lower() == "text/event-stream"


def without_stream(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A request's fields, so that its reply comes whole."""
    return {name: value for name, value in content.items() if name not in STREAM_FIELDS}


async def read_stream(response: ClientResponse, count: Callable[[], None] | None) -> dict[str, Any]:
    """The reply as one object; `count` is called for each piece with text, about a token.

    Raises TryError for what no reply comes out of: too many bytes, no JSON, an end before the answer's or without its usage.
    """
    reply, event = StreamedReply(), b""
    async for line in stream_lines(response):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            event = b""
        elif name == b"event":
            event = value
        elif name == b"error" or (name == b"data" and event == b"error"):  # llama.cpp, and gateways
            reply.errors.append(read_error_value(value))
        elif name == b"data" and value.strip() == END:
            break
        elif name == b"data":
            if reply.add(decode_json(value)) and count:
                count()
        elif name not in UNREAD:  # a piece of the answer may be in it
            raise unsound("a stream with a line that is none of a stream's")
    return reply.whole()


async def stream_lines(response: ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a stream, without their ends.  Raises TryError beyond MAX_STREAM, and where one is longer than a reply."""
    text, start = bytearray(), 0
    async for part in read_parts(response, MAX_STREAM):
        text += part
        while (end := text.find(b"\n", start)) >= 0:
            yield bytes(text[:end]).rstrip(b"\r")
            del text[: end + 1]
            start = 0
        start = len(text)
        if start > MAX_REPLY:
            raise TryError(f"a reply of more than {MAX_REPLY >> 20} MB", tries=1)
    yield bytes(text)


def read_error_value(text: bytes) -> Any:
    """What an event of an error holds: JSON with or without an object around it, or words."""
    try:
        value = decode_json(text)
    except TryError:
        return text.decode("utf-8", "replace") or "an error without words"
    return (value.get("error") if isinstance(value, dict) else None) or value or "an error without words"


class StreamedReply:
    """What the pieces of a reply make so far: of the first choice, which is the only one that is asked for."""

    def __init__(self) -> None:
        self.texts: list[Any] = []
        self.message: dict[str, list[Any]] | None = None  # for each field, what came of it
        self.endings: dict[str, Any] = {}
        self.usage: Any = None
        self.errors: list[Any] = []

    def add(self, piece: Any) -> bool:
        """Takes a piece; whether it holds a part of the answer.  Raises TryError for what is none."""
        choices = (piece.get("choices") or []) if isinstance(piece, dict) else None
        if not isinstance(choices, list):
            raise unsound("a stream with a piece that is none of a reply")
        if error := piece.get("error") or (piece if piece.get("object") == "error" else None):
            self.errors.append(error)
        self.usage = piece.get("usage") or self.usage
        parts = [self.add_choice(choice) for choice in choices]
        return any(parts)

    def add_choice(self, choice: Any) -> bool:
        """The same for a choice in a piece."""
        if not isinstance(choice, dict) or not isinstance(choice.get("delta") or {}, dict):
            raise unsound("a stream with a choice that is none")
        if choice.get("index"):
            return False
        self.endings |= {name: choice[name] for name in ("finish_reason", "error") if choice.get(name)}  # "": not yet
        if choice.get("text") is not None:
            self.texts.append(choice["text"])
        if (delta := choice.get("delta")) is not None:
            self.message = self.message or {}
            for name, value in delta.items():
                if value is not None and (name in self.message or len(self.message) < MAX_FIELDS):
                    self.message.setdefault(name, []).append(value)
        return bool(choice.get("text") or any(value for name, value in (delta or {}).items() if name != "role"))

    def whole(self) -> dict[str, Any]:
        """The reply.  Raises TryError where the stream has ended too early."""
        if self.errors:  # the earlier ones: a key may be cut into two
            return {"earlier": self.errors[:-1], "error": self.errors[-1]}
        if not self.endings:
            raise unsound("a stream that ends before its answer does")
        if not self.usage:
            raise unsound("a stream without the usage that was asked for")
        message = {} if self.message is None else {"message": {n: join_pieces(n, v) for n, v in self.message.items()}}
        return {"choices": [{"text": join_pieces("text", self.texts), **message, **self.endings}], "usage": self.usage}


def join_pieces(name: str, pieces: list[Any]) -> Any:
    """A field of a message from its pieces: texts are joined, lists follow one another; what fits nowhere stays a list."""
    if all(isinstance(piece, str) for piece in pieces):
        return pieces[-1] if name == "role" else "".join(pieces)
    if len(pieces) == 1:
        return pieces[0]
    if name == "content":  # Mistral: parts of reasoning in lists, the answer as text
        pieces = [[{"type": "text", "text": piece}] if isinstance(piece, str) else piece for piece in pieces]
    return [value for piece in pieces for value in (piece if isinstance(piece, list) else [piece])]


def unsound(reason: str) -> TryError:
    return TryError(reason, tries=UNSOUND_TRIES)
