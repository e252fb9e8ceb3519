"""The candidate as the tests see it: calls travel to it over pipes, and its objects look like objects here."""

from __future__ import annotations

import builtins
from typing import Any

from harness.sandbox.inside import wire
from harness.sandbox.inside.channel import Channel

MAX_TEXT = 1000
SIZE_ERRORS = ("UnsendableError", "MemoryError")
# Raised by the program under their own names, these would end a test, or a loop within it, as if it had passed.
REPLACED_EXCEPTIONS = (
    "StopIteration",
    "StopAsyncIteration",
    "SystemExit",
    "KeyboardInterrupt",
    "GeneratorExit",
    "AssertionError",
)


class CandidateGone(BaseException):
    """The candidate ended, or sent a message that no honest encoder writes.  A BaseException, so that no test catches it."""


class CandidateError(Exception):
    """The candidate raised an exception that a test must not see as it is."""


class Candidate:
    """The other process, as the tests see it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.sequence = 0
        self.end_reason = ""
        self.calls = 0
        self.handles: dict[int, Handle] = {}

    def reply(self, part: int = 0) -> Any:
        """The next reply.  CandidateGone where it does not answer the last request: a program may not answer in advance."""
        if self.end_reason:
            raise CandidateGone(self.end_reason)
        try:
            message = self.channel.receive()
            sequence, number, kind, *body = message
            if type(sequence) is not int or (sequence, number) != (self.sequence, part):
                raise wire.MalformedError("a reply to something else")
            return self.parse_reply(kind, body)
        except (wire.MalformedError, ValueError, TypeError) as error:
            self.fail(f"malformed reply: {error}")
        except (EOFError, OSError) as error:
            self.fail(f"no reply: {type(error).__name__}")

    def parse_reply(self, kind: Any, body: list[Any]) -> Any:
        if kind == "value" and len(body) == 1:
            return wire.decode_value(body[0], self.handle)
        if kind == "raise" and len(body) == 2 and all(type(part) is str for part in body):
            return CandidateException(body[0], body[1][:MAX_TEXT])
        if kind == "unsendable" and len(body) == 1 and type(body[0]) is str:
            return CandidateException(SIZE_ERRORS[0], body[0][:MAX_TEXT])
        raise wire.MalformedError("an unknown kind of reply")

    def fail(self, why: str) -> None:
        self.end_reason = why[:MAX_TEXT]
        raise CandidateGone(self.end_reason)

    def handle(self, number: int) -> Handle:
        return self.handles.setdefault(number, Handle(self, number))

    def ask(self, operation: str, *parts: Any) -> Any:
        """Sends a request; returns the value, or raises what the candidate raised."""
        if self.end_reason:
            raise CandidateGone(self.end_reason)
        self.sequence += 1
        self.calls += 1
        self.send(wire.dumps([self.sequence, operation, *parts]))
        reply = self.reply()
        if isinstance(reply, CandidateException):
            raise reply.exception()
        return reply

    def send(self, text: str) -> None:
        try:
            self.channel.send(text)
        except OSError as error:
            self.fail(f"no reader: {type(error).__name__}")

    def encode(self, value: Any) -> Any:
        return wire.encode_value(value, self.handle_number)

    def handle_number(self, value: Any) -> int:
        if type(value) is not Handle:
            raise wire.UnsendableError(f"a {type(value).__name__} of the tests")
        number = object.__getattribute__(value, "_number")
        if type(number) is str:
            handle = self.ask("reference", number)
            return int(object.__getattribute__(handle, "_number"))
        return int(number)


class CandidateException:
    """An exception of the candidate's, by the name of its nearest built-in class."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def exception(self) -> Exception:
        kind = getattr(builtins, self.name, None)
        usable = isinstance(kind, type) and issubclass(kind, Exception) and self.name not in REPLACED_EXCEPTIONS
        try:
            exception = kind(self.text) if usable and kind else CandidateError(self.text)
        except TypeError:  # UnicodeDecodeError and some others need more than a text
            exception = CandidateError(self.text)
        exception.__dict__["of_candidate"] = True
        return exception


class Handle:
    """An object of the candidate without a plain value.  It can be called, read, set, passed back; it equals only itself."""

    __slots__ = ("_candidate", "_number")

    def __init__(self, candidate: Candidate, number: int | str) -> None:
        object.__setattr__(self, "_candidate", candidate)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        it: Candidate = object.__getattribute__(self, "_candidate")
        number = object.__getattribute__(self, "_number")
        return it.ask("call", number, it.encode(list(arguments)), it.encode([[k, v] for k, v in keywords.items()]))

    def __repr__(self) -> str:
        """The same in every run: an address is chance, and must not reach what is stored."""
        return "<an object of the program>"

    def __getattr__(self, name: str) -> Any:
        return object.__getattribute__(self, "_candidate").ask("get", object.__getattribute__(self, "_number"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        it: Candidate = object.__getattribute__(self, "_candidate")
        it.ask("set", object.__getattribute__(self, "_number"), name, it.encode(value))
