"""What a model reports besides answers: its tokens while answers are being made, and a note once a task is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from harness.types import Model, Request


@runtime_checkable
class SupportsNote(Protocol):
    """A Model that reports, once a task is answered, what the user should know about the answers ("": nothing)."""

    @property
    def note(self) -> str: ...


@runtime_checkable
class TokenListener(Protocol):
    """A Progress that takes the tokens computed so far for a block of so many questions, and the seconds left for it."""

    def count_tokens(self, block: int, tokens: int, seconds_left: float) -> None: ...


@runtime_checkable
class SupportsTokenReports(Protocol):
    """A Model that reports its tokens while answers are being made."""

    def report_tokens(self, report: Callable[[int, float], None]) -> None: ...


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
