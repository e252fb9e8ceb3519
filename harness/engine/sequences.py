"""Sequences that are being generated, and how the next token of each is chosen.  B rows, V tokens in the vocabulary."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from harness.engine.device import argmax_rows, send_numbers, to_float64
from harness.engine.tree import TokenIds


@dataclass(frozen=True)
class TokenPrompt:
    """A prompt with the settings of its generation.

    `should_stop` is called with the new ids after each token: does the text so far end the answer?  `temperature` 0: greedy.
    Raises ValueError for an empty prompt, and for fewer than one new token.
    """

    ids: TokenIds
    max_tokens: int
    should_stop: Callable[[list[int]], bool]
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.ids or self.max_tokens < 1:
            raise ValueError("A prompt needs at least one token, and room for at least one new token.")


@dataclass(frozen=True)
class Generation:
    """The new tokens after a prompt, and why they end."""

    ids: list[int]  # without the end-of-sequence token
    finish: Literal["stop", "length"]


class DecodingRow:
    """One sequence while it is generated.  Its random numbers are its own, so its text does not depend on its batch."""

    def __init__(self, prompt: TokenPrompt, end_tokens: frozenset[int]) -> None:
        self.prompt, self.end_tokens = prompt, end_tokens
        self.ids: list[int] = []
        self.finish: Literal["stop", "length"] | None = None
        self.generator = random.Random(prompt.seed)

    def append(self, token: int) -> None:
        """Takes the next token, and sets `finish` if the row ends with it."""
        if token in self.end_tokens:
            self.finish = "stop"
            return
        self.ids.append(token)
        if self.prompt.should_stop(self.ids):
            self.finish = "stop"
        elif len(self.ids) >= self.prompt.max_tokens:
            self.finish = "length"


TokenChooser = Callable[[torch.Tensor, Sequence[DecodingRow]], torch.Tensor]  # logits [B, V] of B rows -> a token [B] for each


def append_next_tokens(logits: torch.Tensor, rows: Sequence[DecodingRow], choose: TokenChooser) -> torch.Tensor:
    """Chooses the next token of every row from logits [B, V], appends it to the row, and returns all of them [B]."""
    tokens = choose(logits, rows)
    for row, token in zip(rows, tokens.tolist(), strict=True):
        row.append(token)
    return tokens


def choose_tokens(logits: torch.Tensor, rows: Sequence[DecodingRow]) -> torch.Tensor:
    """The likeliest token of each greedy row, a sampled one of each other row: [B, V] -> [B].

    A row draws one uniform number for each token.  Rows with top_p < 1 are a batch of their own, because they need a sort.
    """
    tokens = argmax_rows(logits)
    for sampler, uses_top_p in ((sample_inverse_cdf, False), (sample_nucleus, True)):
        places = [i for i, r in enumerate(rows) if r.prompt.temperature > 0 and (r.prompt.top_p < 1) == uses_top_p]
        if places:
            sampled_rows, at = [rows[i] for i in places], send_numbers(places, logits.device)
            scores = to_float64(logits[at])
            temperatures, uniform, top_p = (
                send_numbers(numbers, scores.device, scores.dtype)
                for numbers in (
                    [r.prompt.temperature for r in sampled_rows],
                    [r.generator.random() for r in sampled_rows],
                    [r.prompt.top_p for r in sampled_rows],
                )
            )
            tokens[at] = sampler((scores / temperatures[:, None]).softmax(1), uniform, top_p).to(tokens.device)
    return tokens


def sample_inverse_cdf(probs: torch.Tensor, uniform: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Inverse transform: the first token t with u < P(token <= t).  probs [B, V], uniform [B] -> tokens [B]."""
    cumulative = probs.cumsum(1)
    # The last sum stands for 1: rounding and a nucleus leave it elsewhere.
    tokens = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)[:, 0]
    return tokens.clamp(max=probs.shape[1] - 1)


def sample_nucleus(probs: torch.Tensor, uniform: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """The same among the fewest likeliest tokens that reach top_p together (Holtzman et al. 2020, arXiv 1904.09751)."""
    sorted_probs, ids = probs.sort(dim=1, descending=True, stable=True)
    is_beyond = (sorted_probs.cumsum(1) - sorted_probs) >= top_p[:, None]
    is_beyond[:, 0] = False  # the likeliest alone reaches a top_p of 0
    sorted_probs = sorted_probs.masked_fill(is_beyond, 0)
    return ids.gather(1, sample_inverse_cdf(sorted_probs, uniform, top_p)[:, None])[:, 0]
