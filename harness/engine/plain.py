"""The plain path: padded batches, nothing shared.  Right for every causal model, and the reference for faster ones.

Sequences are lists of token ids.  Shapes: B rows in a batch, T positions, V tokens in the vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

Ids = Sequence[int]


@dataclass(frozen=True)
class Pair:
    """A continuation to be weighed after a context, both of at least one token."""

    context: Ids
    continuation: Ids


@dataclass(frozen=True)
class Weight:
    logprob: float  # natural logarithm, summed over the continuation's tokens in float64
    greedy: bool  # is every token of the continuation the likeliest one?


@dataclass(frozen=True)
class Prompt:
    """A prompt to be continued.  `stopped` is asked after each token whether the text so far ends the answer."""

    ids: Ids
    max_tokens: int
    stopped: Callable[[list[int]], bool]
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Continuation:
    ids: list[int]  # without the end-of-sequence token
    finish: Literal["stop", "length"]


def weigh(model: Any, pairs: Sequence[Pair], batch_size: int) -> Iterator[tuple[int, Weight]]:
    """The log-probability of every continuation, longest sequences first, each with its place in `pairs`."""
    order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i].context) - len(pairs[i].continuation))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        yield from zip(places, weigh_batch(model, [pairs[i] for i in places]), strict=True)


@torch.inference_mode()
def weigh_batch(model: Any, pairs: Sequence[Pair]) -> list[Weight]:
    """One forward pass over B right-padded sequences; what is behind a token cannot move its logits."""
    rows = [[*p.context, *p.continuation][:-1] for p in pairs]
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long, device=model.device)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    keep = max(len(p.continuation) for p in pairs) + width - min(map(len, rows))
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=keep).logits  # [B, <= T, V]
    first = width - logits.shape[1]  # the position of the first logits that were kept
    return [
        weight(logits[i, len(row) - len(p.continuation) - first : len(row) - first], p.continuation)
        for i, (row, p) in enumerate(zip(rows, pairs, strict=True))
    ]


def weight(logits: torch.Tensor, targets: Ids) -> Weight:
    """The log-probability of `targets` [T] under `logits` [T, V]."""
    wanted = torch.tensor(targets, device=logits.device)
    logits = logits.float()
    chosen = logits.gather(1, wanted[:, None])[:, 0].double() - logits.logsumexp(1).double()
    return Weight(chosen.sum().item(), bool((logits.argmax(1) == wanted).all()))


def generate(
    model: Any, prompts: Sequence[Prompt], ends: frozenset[int], batch_size: int
) -> Iterator[tuple[int, Continuation]]:
    """The continuation of every prompt, longest first, each with its place in `prompts`.  `ends`: tokens that end a text."""
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        yield from zip(places, generate_batch(model, [prompts[i] for i in places], ends), strict=True)


@torch.inference_mode()
def generate_batch(model: Any, prompts: Sequence[Prompt], ends: frozenset[int]) -> list[Continuation]:
    """Decodes B left-padded prompts together, until each is finished."""
    width = max(len(p.ids) for p in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long, device=model.device)
    mask = torch.zeros_like(ids)
    for i, p in enumerate(prompts):
        ids[i, width - len(p.ids) :] = torch.tensor(p.ids)
        mask[i, width - len(p.ids) :] = 1
    rows = [Row(p, ends) for p in prompts]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = None
    while True:
        out = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        cache = out.past_key_values
        logits = out.logits[:, -1].float()
        taken = [row.take(logits[i]) for i, row in enumerate(rows)]
        if all(row.finish for row in rows):
            return [Continuation(row.ids, row.finish or "stop") for row in rows]
        ids = torch.tensor(taken, device=model.device)[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], 1)
        positions = positions[:, -1:] + 1


class Row:
    """One sequence that is being decoded."""

    def __init__(self, prompt: Prompt, ends: frozenset[int]) -> None:
        self.prompt, self.ends = prompt, ends
        self.ids: list[int] = []
        self.finish: Literal["stop", "length"] | None = None
        self.random = random.Random(prompt.seed)

    def take(self, logits: torch.Tensor) -> int:
        """Takes the next token from `logits` [V], unless the row is finished; gives the token to be fed next."""
        if self.finish:
            return 0
        token = choose(logits, self.prompt, self.random)
        if token in self.ends:
            self.finish = "stop"
            return token
        self.ids.append(token)
        if self.prompt.stopped(self.ids):
            self.finish = "stop"
        elif len(self.ids) >= self.prompt.max_tokens:
            self.finish = "length"
        return token


def choose(logits: torch.Tensor, prompt: Prompt, source: random.Random) -> int:
    """The likeliest token, or one drawn by inverse transform: one uniform number a token, whatever else is in the batch."""
    if prompt.temperature == 0:
        return int(logits.argmax())
    probs = (logits.double() / prompt.temperature).softmax(0)
    if prompt.top_p < 1:  # nucleus (Holtzman et al. 2020): the fewest likeliest tokens that reach top_p together
        ordered, places = probs.sort(descending=True, stable=True)
        ordered[(ordered.cumsum(0) - ordered) >= prompt.top_p] = 0
        return int(places[draw(ordered, source)])
    return draw(probs, source)


def draw(probs: torch.Tensor, source: random.Random) -> int:
    total = probs.cumsum(0)
    place = int(torch.searchsorted(total, source.random() * total[-1].item(), right=True))
    return min(place, len(probs) - 1)
