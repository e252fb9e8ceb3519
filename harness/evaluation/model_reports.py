"""What a model reports besides answers: its tokens while answers are being made, and a note once a task is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from harness.types import Model, Request

INTERVAL_S = 1.0  # between two reports of tokens


@runtime_checkable
class SupportsNote(Protocol):
    """A Model that reports, once a task is answered, what the user should know about the answers ("": nothing)."""

    @property
    def note(self) -> str: ...


@runtime_checkable
class SupportsDeviceTime(Protocol):
    """A Model that other machines hold: how long they were at work for it, without what it waited for them."""

    @property
    def device_seconds(self) -> float: ...


@runtime_checkable
class TokenListener(Protocol):
    """A Progress that takes the tokens computed so far for a block of so many questions, and the seconds left for it.

    None: nothing tells yet how long its answers become.
    """

    def count_tokens(self, block: int, tokens: int, seconds_left: float | None) -> None: ...


@runtime_checkable
class SupportsTokenReports(Protocol):
    """A Model that reports its tokens while answers are being made."""

    def report_tokens(self, report: Callable[[int, float | None], None]) -> None: ...


@runtime_checkable
class SupportsRounding(Protocol):
    """A Model that can compute answers in plain batches too.

    `measure_rounding` takes requests with choices, and gives root mean square distances in nats a token: between the model's
    own plain batches, and between what it answers with and their mean.
    """

    def measure_rounding(self, requests: Sequence[Request]) -> tuple[float, float]: ...


def connect_tokens(model: Model, progress: object) -> None:
    """The model reports its tokens to the progress, where both can."""
    if isinstance(model, SupportsTokenReports) and isinstance(progress, TokenListener):
        model.report_tokens(partial(progress.count_tokens, model.block))


class AnswerMeter:
    """Counts the tokens of answers that come whole, as from a server, and reports them about once a second."""

    def __init__(self, report: Callable[[int, float | None], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.report, self.clock = report, clock
        self.tokens = self.count = self.answers = 0
        self.start = self.last_time = clock()

    def begin(self, answers: int) -> None:
        """Before so many requests are asked."""
        self.answers, self.count, self.start = answers, 0, self.clock()

    def add(self, tokens: int) -> None:
        """After an answer."""
        self.tokens, self.count = self.tokens + tokens, self.count + 1
        self.show()

    def show(self) -> None:
        """Reports, if the last report was long ago."""
        now = self.clock()
        if now - self.last_time >= INTERVAL_S:
            self.last_time = now
            self.report(self.all_tokens(), self.seconds_left(now - self.start))

    def all_tokens(self) -> int:
        return self.tokens

    def seconds_left(self, seconds: float) -> float | None:
        """Those of the answers to come, at the speed of those that came in so many seconds."""
        return seconds * max(self.answers - self.count, 0) / self.count


def answer_cost(model: Model, answers: int, is_whole: bool, seconds: float) -> dict[str, float]:
    """What answers cost, for a cell's record; {} where its seconds say it: all was asked at once, of a model held here."""
    if isinstance(model, SupportsDeviceTime):
        seconds = model.device_seconds
    elif is_whole:
        return {}
    return {"answers": answers, "seconds": round(seconds, 3)}
