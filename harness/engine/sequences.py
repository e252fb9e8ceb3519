"""Sequences that are being decoded, and how the next token of each is chosen.  B rows, V tokens in the vocabulary."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

Ids = Sequence[int]


@dataclass(frozen=True)
class Prompt:
    """A prompt to be continued.  `stopped` is asked after each token whether the text so far ends the answer."""

    ids: Ids
    max_tokens: int
    stopped: Callable[[list[int]], bool]
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.ids or self.max_tokens < 1:
            raise ValueError("A prompt has at least one token, and at least one is asked for behind it.")


@dataclass(frozen=True)
class Continuation:
    ids: list[int]  # without the end-of-sequence token
    finish: Literal["stop", "length"]


class Row:
    """One sequence that is being decoded."""

    def __init__(self, prompt: Prompt, ends: frozenset[int]) -> None:
        self.prompt, self.ends = prompt, ends
        self.ids: list[int] = []
        self.finish: Literal["stop", "length"] | None = None
        self.random = random.Random(prompt.seed)

    def add(self, token: int) -> None:
        """Takes the next token, and notes whether the row ends with it."""
        if token in self.ends:
            self.finish = "stop"
            return
        self.ids.append(token)
        if self.prompt.stopped(self.ids):
            self.finish = "stop"
        elif len(self.ids) >= self.prompt.max_tokens:
            self.finish = "length"


Choose = Callable[[torch.Tensor, Sequence[Row]], torch.Tensor]  # logits [B, V] of B rows -> the next token [B] of each


def take(logits: torch.Tensor, rows: Sequence[Row], choose: Choose) -> torch.Tensor:
    """The next token [B] of every row, chosen from logits [B, V] and added to it."""
    tokens = choose(logits, rows)
    for row, token in zip(rows, tokens.tolist(), strict=True):
        row.add(token)
    return tokens


def choose(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """The likeliest token of each row [B, V] -> [B], or one drawn with one uniform number of the row's own."""
    tokens = logits.argmax(1)
    for drawn, narrow in ((wide, False), (nucleus, True)):
        warm = [i for i, r in enumerate(rows) if r.prompt.temperature > 0 and (r.prompt.top_p < 1) == narrow]
        if warm:
            some = [rows[i] for i in warm]
            heat = logits.new_tensor([r.prompt.temperature for r in some], dtype=torch.float64)
            uniform = heat.new_tensor([r.random.random() for r in some])
            probs = (logits[warm].double() / heat[:, None]).softmax(1)
            tokens[warm] = drawn(probs, uniform, heat.new_tensor([r.prompt.top_p for r in some]))
    return tokens


def wide(probs: torch.Tensor, uniform: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Inverse transform: the first token whose cumulative probability passes the uniform number.  [B, V], [B] -> [B]."""
    mass = probs.cumsum(1)
    found = torch.searchsorted(mass, uniform[:, None] * mass[:, -1:], right=True)[:, 0]
    return found.clamp(max=probs.shape[1] - 1)


def nucleus(probs: torch.Tensor, uniform: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """The same among the fewest likeliest tokens that reach top_p together (Holtzman et al. 2020)."""
    ordered, places = probs.sort(dim=1, descending=True, stable=True)
    ordered[(ordered.cumsum(1) - ordered) >= top_p[:, None]] = 0
    return places.gather(1, wide(ordered, uniform, top_p)[:, None])[:, 0]
