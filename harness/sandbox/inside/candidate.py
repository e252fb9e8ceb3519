"""The process that runs a program: it knows the program and the arguments of its calls, and nothing else."""

from __future__ import annotations

import os
import random
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.sandbox.inside import wire
from harness.sandbox.inside.channel import Channel

NAME = "candidate"
SEED = 0
MAX_TEXT = 1000


def serve_calls(reading: int, writing: int, source: int) -> None:
    """Runs the program, then answers calls until the grader hangs up.  All arguments are file descriptors."""
    channel = Channel(reading, writing)
    module = types.ModuleType(NAME)
    sys.modules[NAME] = module
    objects = CandidateObjects(module)
    line = GraderLine(channel, objects, (sys.stdout.flush, sys.stderr.flush))
    text = read_all(source)
    random.seed(SEED)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(SEED)
    line.answer(0, 0, lambda: run_program(text, module))
    try:
        while True:
            line.serve_request()
    except EOFError:
        return


def run_program(text: bytes, module: types.ModuleType) -> None:
    """Runs the program's top level.  Its name is not __main__, so that code behind a main guard does not run."""
    exec(compile(text, f"<{NAME}>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102  the sandbox exists for this line


def read_all(descriptor: int) -> bytes:
    parts, start = [], 0
    while part := os.pread(descriptor, os.fstat(descriptor).st_size - start, start):
        parts.append(part)
        start += len(part)
    os.close(descriptor)
    return b"".join(parts)


class CandidateObjects:
    """The objects that the grader may name: the program's top-level names, and those sent to it as a reference."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}

    def refer(self, value: Any) -> int:
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return self.numbers[id(value)]

    def decode(self, value: Any) -> Any:
        return wire.decode_value(value, self.objects.__getitem__)

    def target(self, name: str | int) -> Any:
        if isinstance(name, int):
            return self.objects[name]
        if name not in self.module.__dict__:
            raise NameError(f"name {name!r} is not defined")
        return self.module.__dict__[name]

    def call(self, name: str | int, arguments: Any, keywords: Any) -> Any:
        return self.target(name)(*self.decode(arguments), **dict(self.decode(keywords)))

    def get(self, name: str | int, attribute: str) -> Any:
        return getattr(self.target(name), attribute)

    def set(self, name: str | int, attribute: str, value: Any) -> None:
        setattr(self.target(name), attribute, self.decode(value))

    def reference(self, name: str) -> Any:
        return Reference(self.refer(self.target(name)))


class Reference(int):
    """The number of an object, to be sent as such."""


@dataclass(frozen=True)
class GraderLine:
    """The connection to the grader, and the output streams to flush before each answer.

    The grader may end this process after any answer, and unflushed output would be lost.
    """

    channel: Channel
    objects: CandidateObjects
    flush: tuple[Callable[[], None], ...]

    def answer(self, sequence: int, part: int, action: Callable[[], Any]) -> None:
        """Does `action` and sends its result: ["value", v], ["raise", type, text] or ["unsendable", why]."""
        result = self.attempt(action)
        for each in self.flush:
            try:
                each()
            except (OSError, ValueError):  # the program closed or filled its own output
                continue
        try:
            self.channel.send(wire.dumps([sequence, part, *result]))
        except (wire.UnsendableError, MemoryError, RecursionError) as error:
            self.channel.send(wire.dumps([sequence, part, "unsendable", f"{type(error).__name__}: {error}"[:MAX_TEXT]]))

    def serve_request(self) -> None:
        """Answers the grader's next message, of one call or many; EOFError where it has hung up."""
        sequence, operation, *rest = self.channel.receive()
        if operation == "many":
            for part, arguments in enumerate(rest[1]):
                self.answer(sequence, part, partial(self.objects.call, rest[0], arguments, []))
        else:
            self.answer(sequence, 0, partial(getattr(self.objects, operation), *rest))

    def attempt(self, action: Callable[[], Any]) -> list[Any]:
        try:
            value = action()
            if type(value) is Reference:
                return ["value", {"t": "ref", "v": int(value)}]
            return ["value", wire.encode_value(value, self.objects.refer)]
        except wire.UnsendableError as error:
            return ["unsendable", str(error)]
        except BaseException as error:  # noqa: BLE001  any exception of a program is its answer
            return ["raise", builtin_base(type(error)), describe_error(error)]


def builtin_base(kind: type) -> str:
    """The nearest built-in exception: the grader learns nothing else of a class.

    `type.__dict__` and `type.__getattribute__` bypass a program's metaclass, which could answer anything.
    """
    bases = type.__dict__["__mro__"].__get__(kind)
    return next((b.__name__ for b in bases if type.__getattribute__(b, "__module__") == "builtins"), "Exception")


def describe_error(error: BaseException) -> str:
    """Class and message, shortened; an exception whose message cannot be printed is described as such."""
    try:
        return f"{type(error).__name__}: {error}"[:MAX_TEXT]
    except BaseException as second:  # noqa: BLE001  __str__ is the program's code
        return f"{type(error).__name__} (its message raised {type(second).__name__})"[:MAX_TEXT]
