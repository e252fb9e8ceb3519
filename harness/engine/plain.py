"""The plain path: padded batches, nothing shared.  Right for every causal model, and the reference for faster ones.

Sequences are lists of token ids.  Shapes: B rows in a batch, T positions, V tokens in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from harness.engine.memory import halved
from harness.engine.rows import Continuation, Ids, Prompt, Row, take

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """A continuation to be weighed after a context, both of at least one token."""

    context: Ids
    continuation: Ids


@dataclass(frozen=True)
class Weight:
    logprob: float  # natural logarithm, summed over the continuation's tokens in float64
    greedy: bool  # is every token of the continuation the likeliest one?


def weigh(model: Any, pairs: Sequence[Pair], batch_size: int) -> Iterator[tuple[int, Weight]]:
    """The log-probability of every continuation, longest sequences first, each with its place in `pairs`."""
    order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i].context) - len(pairs[i].continuation))
    yield from halving(order, batch_size, lambda places: weigh_batch(model, [pairs[i] for i in places]))


def halving(order: Sequence[int], batch_size: int, answer: Callable[[Sequence[int]], list[T]]) -> Iterator[tuple[int, T]]:
    """The answer to every place of `order`, batch by batch; out of memory halves the batches from there on."""
    start = 0
    while start < len(order):
        places = order[start : start + batch_size]
        try:
            found = answer(places)
        except RuntimeError as error:
            batch_size = halved(min(batch_size, len(places)), error)
            continue
        yield from zip(places, found, strict=True)
        start += len(places)


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
    yield from halving(order, batch_size, lambda places: generate_batch(model, [prompts[i] for i in places], ends))


@torch.inference_mode()
def generate_batch(model: Any, prompts: Sequence[Prompt], ends: frozenset[int]) -> list[Continuation]:
    """Decodes B left-padded prompts together; a finished row leaves the batch."""
    width = max(len(p.ids) for p in prompts)
    ids = torch.tensor([[0] * (width - len(p.ids)) + list(p.ids) for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p.ids)) + [1] * len(p.ids) for p in prompts], device=model.device)
    rows = [Row(p, ends) for p in prompts]
    alive = rows
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = None
    while True:
        out = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        cache = out.past_key_values
        tokens = take(out.logits[:, -1], alive)
        going = [i for i, row in enumerate(alive) if not row.finish]
        if not going:
            return [Continuation(row.ids, row.finish or "stop") for row in rows]
        if len(going) < len(alive):
            keep = torch.tensor(going, device=model.device)
            cache.reorder_cache(keep)
            alive, tokens, mask, positions = [alive[i] for i in going], tokens[keep], mask[keep], positions[keep]
        ids = tokens[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], 1)
        positions = positions[:, -1:] + 1
