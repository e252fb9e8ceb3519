"""The process that knows the tests: it calls the candidate over pipes, compares plain values, and writes the verdict."""

from __future__ import annotations

import builtins
import json
import os
import sys
import time
import traceback
from typing import Any

from harness.sandbox.inside import wire
from harness.sandbox.inside.candidate import read_all
from harness.sandbox.inside.compare import ORACLES

CHUNK_ITEMS, CHUNK_BYTES, TEXT = 256, 1 << 20, 1000
GONE = 3  # exit status: the candidate ended before its tests did
TOO_LARGE = ("UnsendableError", "MemoryError")
LEFT_OUT = {"t": "left out", "v": None}
# Exceptions that would end a test, or an iteration within it, as if all were well.
NEVER_AS_THEMSELVES = (
    "StopIteration",
    "StopAsyncIteration",
    "SystemExit",
    "KeyboardInterrupt",
    "GeneratorExit",
    "AssertionError",
)


class CandidateGone(BaseException):
    """The candidate ended, or sent what no honest encoder sends: no test can go on, and none may catch it."""


class CandidateError(Exception):
    """The candidate raised something that has no place in a test."""


class Candidate:
    """The other process, as the tests see it."""

    def __init__(self, channel: wire.Channel) -> None:
        self.channel = channel
        self.sequence = 0
        self.gone = ""
        self.calls = 0
        self.handles: dict[int, Handle] = {}

    def reply(self, part: int = 0) -> Any:
        """The next reply, which must be the one that is due."""
        if self.gone:
            raise CandidateGone(self.gone)
        try:
            message = self.channel.receive()
            sequence, number, kind, *body = message
            if type(sequence) is not int or (sequence, number) != (self.sequence, part):
                raise wire.MalformedError("a reply to something else")
            return self.unpack(kind, body)
        except (wire.MalformedError, ValueError, TypeError) as error:
            self.fail(f"malformed reply: {error}")
        except (EOFError, OSError) as error:
            self.fail(f"no reply: {type(error).__name__}")

    def unpack(self, kind: Any, body: list[Any]) -> Any:
        if kind == "value" and len(body) == 1:
            return wire.decode(body[0], self.handle)
        if kind == "raise" and len(body) == 2 and all(type(part) is str for part in body):
            return Raised(body[0], body[1][:TEXT])
        if kind == "unsendable" and len(body) == 1 and type(body[0]) is str:
            return Raised(TOO_LARGE[0], body[0][:TEXT])
        raise wire.MalformedError("an unknown kind of reply")

    def fail(self, why: str) -> None:
        self.gone = why[:TEXT]
        raise CandidateGone(self.gone)

    def handle(self, number: int) -> Handle:
        return self.handles.setdefault(number, Handle(self, number))

    def ask(self, operation: str, *parts: Any) -> Any:
        """Sends a request; returns the value, or raises what the candidate raised."""
        if self.gone:
            raise CandidateGone(self.gone)
        self.sequence += 1
        self.calls += 1
        self.send(wire.dumps([self.sequence, operation, *parts]))
        found = self.reply()
        if isinstance(found, Raised):
            raise found.exception()
        return found

    def send(self, text: str) -> None:
        try:
            self.channel.send(text)
        except OSError as error:
            self.fail(f"no reader: {type(error).__name__}")

    def plain(self, value: Any) -> Any:
        return wire.encode(value, self.number)

    def number(self, value: Any) -> int:
        if type(value) is not Handle:
            raise wire.UnsendableError(f"a {type(value).__name__} of the tests")
        number = object.__getattribute__(value, "_number")
        if type(number) is str:
            found = self.ask("reference", number)
            return int(object.__getattribute__(found, "_number"))
        return int(number)


class Raised:
    """An exception of the candidate's, by the name of its nearest built-in class."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def exception(self) -> Exception:
        kind = getattr(builtins, self.name, None)
        usable = isinstance(kind, type) and issubclass(kind, Exception) and self.name not in NEVER_AS_THEMSELVES
        try:
            found = kind(self.text) if usable and kind else CandidateError(self.text)
        except TypeError:  # UnicodeDecodeError and its like want more than a text
            found = CandidateError(self.text)
        found.__dict__["of_candidate"] = True
        return found


class Handle:
    """Something of the candidate's without a plain value.  It can be called, read, set, passed back; it equals only itself."""

    __slots__ = ("_candidate", "_number")

    def __init__(self, candidate: Candidate, number: int | str) -> None:
        object.__setattr__(self, "_candidate", candidate)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        it: Candidate = object.__getattribute__(self, "_candidate")
        number = object.__getattribute__(self, "_number")
        return it.ask("call", number, it.plain(list(arguments)), it.plain([[k, v] for k, v in keywords.items()]))

    def __getattr__(self, name: str) -> Any:
        return object.__getattribute__(self, "_candidate").ask("get", object.__getattribute__(self, "_number"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        it: Candidate = object.__getattribute__(self, "_candidate")
        it.ask("set", object.__getattribute__(self, "_number"), name, it.plain(value))


def grade(reading: int, writing: int, tests: int, verdict: int) -> int:
    """Runs the tests, writes what came of them to `verdict`; the exit status."""
    sys.set_int_max_str_digits(0)
    stamps = [time.monotonic()]
    candidate = Candidate(wire.Channel(reading, writing))
    record: dict[str, Any] = {"outcome": "error", "detail": "", "groups": {}}
    try:
        task = json.loads(read_all(tests))
        loaded = candidate.reply()
        stamps.append(time.monotonic())
        if isinstance(loaded, Raised):
            record |= outcome_of(loaded)
        else:
            record |= KINDS[task["kind"]](candidate, task, record["groups"])
    except CandidateGone:
        record |= {"outcome": "gone", "detail": candidate.gone}
    except MemoryError:
        record |= {"outcome": "memory", "detail": "the values took more memory than the grader has"}
    except RecursionError:
        record |= {"outcome": "error", "detail": "the values are nested too deeply to be compared"}
    except Exception:  # noqa: BLE001  a fault of the tests or of the sandbox: told as such, never the program's failure
        record |= {"outcome": "fault", "detail": traceback.format_exc()[-TEXT:]}
    if candidate.gone:  # even where a test caught it
        record |= {"outcome": "gone", "detail": candidate.gone}
    record |= {"calls": candidate.calls, "stamps": [*stamps, time.monotonic()]}
    write_all(verdict, json.dumps(record).encode())
    return GONE if record["outcome"] == "gone" else 0


def write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def outcome_of(raised: Raised) -> dict[str, str]:
    kind = "memory" if raised.name == "MemoryError" else "error"
    return {"outcome": kind, "detail": raised.text}


def run_asserts(candidate: Candidate, task: dict[str, Any], groups: dict[str, bool]) -> dict[str, Any]:
    """Test code with assertions: runs unchanged, with the candidate's names as handles."""
    space: dict[str, Any] = {"__name__": "tests"}
    exec(compile(task["setup"], "<setup>", "exec", dont_inherit=True), space)  # noqa: S102  the benchmark's own code
    space |= {name: Handle(candidate, name) for name in task["names"]}
    code = compile(task["code"], "<tests>", "exec", dont_inherit=True)
    try:
        exec(code, space)  # noqa: S102
    except AssertionError as error:
        return {"outcome": "wrong", "detail": place(error, task["code"])}
    except Exception as error:  # noqa: BLE001  a test that raises has failed
        if isinstance(error, MemoryError) or not hasattr(error, "of_candidate"):
            name = "memory" if isinstance(error, MemoryError) else "wrong"
            return {"outcome": name, "detail": f"{type(error).__name__}: {error}"[:TEXT] + f" ({place(error, task['code'])})"}
        return {"outcome": "error", "detail": str(error)[:TEXT]}
    return {"outcome": "pass", "detail": ""}


def place(error: BaseException, source: str) -> str:
    """The line of the tests that failed."""
    lines = source.split("\n")
    where = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == "<tests>"]
    return lines[where[-1] - 1].strip()[:TEXT] if where and 0 < where[-1] <= len(lines) else str(error)[:TEXT]


def run_calls(candidate: Candidate, task: dict[str, Any], groups: dict[str, bool]) -> dict[str, Any]:
    """Calls with known outputs, group by group; the first wrong one decides its group and ends the run."""
    right = ORACLES[task["oracle"]]
    for name, inputs, expected in task["groups"]:
        groups[name] = False
        if len(inputs) != len(expected):
            raise ValueError(f"group {name!r}: {len(inputs)} inputs, {len(expected)} expected outputs")
        for i, found in enumerate(replies(candidate, task["entry"], inputs)):
            if isinstance(found, Raised):
                return outcome_of(found) | {"detail": f"{name} {i}: {found.text}"}
            try:
                arguments = wire.decode(json.loads(inputs[i])) if task["oracle"] else ()
                passed = right(arguments, found, wire.decode(expected[i]), task["atol"])
            except (MemoryError, RecursionError):
                raise
            except Exception as error:  # noqa: BLE001  values that cannot be compared are not equal
                return {"outcome": "wrong", "detail": f"{name} {i}: {type(error).__name__}: {error}"[:TEXT]}
            if not passed:
                return {"outcome": "wrong", "detail": f"{name} {i}: {found!r}"[:TEXT]}
        groups[name] = True
    return {"outcome": "pass", "detail": ""}


def replies(candidate: Candidate, entry: str, inputs: list[str]) -> Any:
    """What the candidate answers to each input (JSON text), asked in chunks so that the processes need not take turns."""
    start = 0
    while start < len(inputs):
        end, size = start, 0
        while end < len(inputs) and end - start < CHUNK_ITEMS and (size < CHUNK_BYTES or end == start):
            size += len(inputs[end])
            end += 1
        candidate.sequence += 1
        candidate.send(f'[{candidate.sequence},"many",{json.dumps(entry)},[{",".join(inputs[start:end])}]]')
        for part in range(end - start):
            candidate.calls += 1
            yield candidate.reply(part)
        start = end


def run_record(candidate: Candidate, task: dict[str, Any], groups: dict[str, bool]) -> dict[str, Any]:
    """Calls whose outputs are wanted: of a reference solution, to compare others with.

    An output that is too large to travel, or to be made at all, is LEFT_OUT.
    """
    outputs: list[Any] = []
    for i, found in enumerate(replies(candidate, task["entry"], task["inputs"])):
        if isinstance(found, Raised) and found.name in TOO_LARGE:
            outputs.append(LEFT_OUT)
        elif isinstance(found, Raised):
            return outcome_of(found) | {"detail": f"call {i}: {found.text}"}
        else:
            try:
                outputs.append(wire.encode(found))
            except wire.UnsendableError as error:
                return {"outcome": "error", "detail": f"call {i}: {error}"}
    return {"outcome": "pass", "detail": "", "outputs": outputs}


KINDS = {"asserts": run_asserts, "calls": run_calls, "record": run_record}
