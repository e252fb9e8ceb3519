"""The process that runs a program: it knows the program and what it is called with, and nothing else."""

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

NAME = "candidate"
SEED = 0
TEXT = 1000


def serve(reading: int, writing: int, source: int) -> None:
    """Runs the program, then answers calls until the grader hangs up."""
    channel = wire.Channel(reading, writing)
    module = types.ModuleType(NAME)
    sys.modules[NAME] = module
    objects = Objects(module)
    line = Line(channel, objects, (sys.stdout.flush, sys.stderr.flush))
    text = read_all(source)
    random.seed(SEED)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(SEED)
    line.answer(0, 0, lambda: start(text, module))
    while True:
        try:
            sequence, operation, *rest = channel.receive()
        except EOFError:
            return
        if operation == "many":
            for part, arguments in enumerate(rest[1]):
                line.answer(sequence, part, partial(objects.call, rest[0], arguments, []))
        else:
            line.answer(sequence, 0, partial(getattr(objects, operation), *rest))


def start(text: bytes, module: types.ModuleType) -> None:
    """Runs the program's top level.  Its name is not __main__: what a main guard protects does not run."""
    exec(compile(text, f"<{NAME}>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102  this is what the sandbox is for


def read_all(descriptor: int) -> bytes:
    parts, start = [], 0
    while part := os.pread(descriptor, os.fstat(descriptor).st_size - start, start):
        parts.append(part)
        start += len(part)
    os.close(descriptor)
    return b"".join(parts)


class Objects:
    """What the grader may name: the program's top-level names, and values that it was given a reference to."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        self.known: list[Any] = []
        self.numbers: dict[int, int] = {}

    def refer(self, value: Any) -> int:
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.known)
            self.known.append(value)
        return self.numbers[id(value)]

    def plain(self, value: Any) -> Any:
        return wire.decode(value, self.known.__getitem__)

    def target(self, name: str | int) -> Any:
        if isinstance(name, int):
            return self.known[name]
        if name not in self.module.__dict__:
            raise NameError(f"name {name!r} is not defined")
        return self.module.__dict__[name]

    def call(self, name: str | int, arguments: Any, keywords: Any) -> Any:
        return self.target(name)(*self.plain(arguments), **dict(self.plain(keywords)))

    def get(self, name: str | int, attribute: str) -> Any:
        return getattr(self.target(name), attribute)

    def set(self, name: str | int, attribute: str, value: Any) -> None:
        setattr(self.target(name), attribute, self.plain(value))

    def reference(self, name: str) -> Any:
        return Reference(self.refer(self.target(name)))


class Reference(int):
    """The number of an object, to be sent as such."""


@dataclass(frozen=True)
class Line:
    """The line to the grader, and what must be written out before each answer."""

    channel: wire.Channel
    objects: Objects
    flush: tuple[Callable[[], None], ...]

    def answer(self, sequence: int, part: int, action: Callable[[], Any]) -> None:
        """Does `action` and sends what came of it: ["value", v], ["raise", type, text] or ["unsendable", why]."""
        found = self.attempt(action)
        for each in self.flush:
            try:
                each()
            except (OSError, ValueError):  # the program closed or filled its own output
                continue
        try:
            self.channel.send(wire.dumps([sequence, part, *found]))
        except (wire.UnsendableError, MemoryError, RecursionError) as error:
            self.channel.send(wire.dumps([sequence, part, "unsendable", f"{type(error).__name__}: {error}"[:TEXT]]))

    def attempt(self, action: Callable[[], Any]) -> list[Any]:
        try:
            value = action()
            if type(value) is Reference:
                return ["value", {"t": "ref", "v": int(value)}]
            return ["value", wire.encode(value, self.objects.refer)]
        except wire.UnsendableError as error:
            return ["unsendable", str(error)]
        except BaseException as error:  # noqa: BLE001  whatever a program raises is its answer
            return ["raise", builtin_base(type(error)), described(error)]


def builtin_base(kind: type) -> str:
    """The nearest built-in exception: the only thing that the grader learns of a class."""
    bases = type.__dict__["__mro__"].__get__(kind)
    return next((b.__name__ for b in bases if type.__getattribute__(b, "__module__") == "builtins"), "Exception")


def described(error: BaseException) -> str:
    """Its class and message, shortened; an exception that cannot even be printed says so."""
    try:
        return f"{type(error).__name__}: {error}"[:TEXT]
    except BaseException as second:  # noqa: BLE001  __str__ is the program's code
        return f"{type(error).__name__} (its message raised {type(second).__name__})"[:TEXT]
