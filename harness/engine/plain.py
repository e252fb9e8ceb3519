"""The plain path: padded batches, nothing shared.  Right for every causal model, and the reference for faster ones.

Sequences are lists of token ids.  Shapes: B rows in a batch, T positions, V tokens in the vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from harness.engine.memory import halved
from harness.engine.sequences import Choose, Continuation, Ids, Prompt, Row, choose, take

T = TypeVar("T")
STATES = ("past_key_values", "cache_params")  # what models call what they keep


@dataclass(frozen=True)
class Pair:
    """A continuation to be weighed after a context, both of at least one token."""

    context: Ids
    continuation: Ids

    def __post_init__(self) -> None:
        if not self.context or not self.continuation:
            raise ValueError("What is weighed, and what stands before it, has at least one token each.")


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
    keep = max(len(p.continuation) for p in pairs) + width - min(map(len, rows))
    logits = forward(model, rows, keep)  # [B, <= T, V]
    first = width - logits.shape[1]  # the position of the first logits that were kept
    return [
        weight(logits[i, len(row) - len(p.continuation) - first : len(row) - first], p.continuation)
        for i, (row, p) in enumerate(zip(rows, pairs, strict=True))
    ]


def forward(model: Any, rows: Sequence[Ids], keep: int) -> torch.Tensor:
    """Logits of B right-padded rows, of the last `keep` positions or more: [B, <= T, V]."""
    width = max(map(len, rows))
    ids = torch.tensor([list(r) + [0] * (width - len(r)) for r in rows], device=model.device)
    mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows], device=model.device)
    found: torch.Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False, **keeping(model, keep)).logits
    return found


def keeping(model: Any, keep: int) -> dict[str, int]:
    """Asks for the logits of the last positions alone, of a model that can be asked that."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    taken = inspect.signature(getattr(whole, "forward", whole)).parameters
    return {"logits_to_keep": keep} if "logits_to_keep" in taken or "inputs" in taken else {}


def weight(logits: torch.Tensor, targets: Ids) -> Weight:
    """The log-probability of `targets` [T] under `logits` [T, V]."""
    wanted = torch.tensor(targets, device=logits.device)
    logits = logits.float()
    chosen = logits.gather(1, wanted[:, None])[:, 0].double() - logits.logsumexp(1).double()
    return Weight(chosen.sum().item(), bool((logits.argmax(1) == wanted).all()))


class Cached:
    """B left-padded sequences that are continued together; the model keeps what it has computed of them."""

    def __init__(self, model: Any, sequences: Sequence[Ids]) -> None:
        self.model = model
        width = max(map(len, sequences))
        self.mask = torch.tensor([[0] * (width - len(s)) + [1] * len(s) for s in sequences], device=model.device)
        self.positions = (self.mask.cumsum(1) - 1).clamp(min=0)
        self.state: dict[str, Any] = {}
        self.logits = self.forward(torch.tensor([[0] * (width - len(s)) + list(s) for s in sequences], device=model.device))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] after the last of the new tokens [B, T]."""
        # A recurrent state has no places: what it has taken in cannot be hidden from it any more.
        places = {} if "cache_params" in self.state else {"attention_mask": self.mask, "position_ids": self.positions}
        out = self.model(input_ids=ids, use_cache=True, **places, **self.state, **keeping(self.model, 1))
        self.state = {name: kept for name in STATES if (kept := getattr(out, name, None)) is not None}
        if not self.state:
            raise NotImplementedError("the model gives nothing back that it has kept")
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def keep(self, rows: torch.Tensor) -> None:
        """Goes on with some of the sequences."""
        for kept in self.state.values():
            kept.reorder_cache(rows)
        self.mask, self.positions = self.mask[rows], self.positions[rows]

    def feed(self, tokens: torch.Tensor) -> None:
        """Adds a token [B] to each sequence."""
        self.mask = torch.cat([self.mask, torch.ones_like(tokens[:, None])], 1)
        self.positions = self.positions[:, -1:] + 1
        self.logits = self.forward(tokens[:, None])


class Recomputed:
    """The same with nothing kept: right for a model that keeps what it has computed in a way of its own, and slow."""

    def __init__(self, model: Any, sequences: Sequence[Ids]) -> None:
        self.model, self.rows = model, [list(s) for s in sequences]
        self.logits = self.forward()

    def forward(self) -> torch.Tensor:
        lengths = [len(r) for r in self.rows]
        logits = forward(self.model, self.rows, 1 + max(lengths) - min(lengths))
        cut = max(lengths) - logits.shape[1]
        return torch.stack([row[n - 1 - cut] for row, n in zip(logits, lengths, strict=True)])

    def keep(self, rows: torch.Tensor) -> None:
        self.rows = [self.rows[i] for i in rows.tolist()]

    def feed(self, tokens: torch.Tensor) -> None:
        for row, token in zip(self.rows, tokens.tolist(), strict=True):
            row.append(token)
        self.logits = self.forward()


Way = type[Cached] | type[Recomputed]


def generate(
    model: Any, prompts: Sequence[Prompt], ends: frozenset[int], batch_size: int, way: Way = Cached, choose: Choose = choose
) -> Iterator[tuple[int, Continuation]]:
    """The continuation of every prompt, longest first, each with its place in `prompts`.  `ends`: tokens that end a text."""
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))

    def answer(places: Sequence[int]) -> list[Continuation]:
        return generate_batch(way(model, [prompts[i].ids for i in places]), [Row(prompts[i], ends) for i in places], choose)

    yield from halving(order, batch_size, answer)


@torch.inference_mode()
def generate_batch(batch: Cached | Recomputed, rows: Sequence[Row], choose: Choose) -> list[Continuation]:
    """Decodes B prompts together; a finished row leaves the batch."""
    alive = list(rows)
    while True:
        tokens = take(batch.logits, alive, choose)
        going = [i for i, row in enumerate(alive) if not row.finish]
        if not going:
            return [Continuation(row.ids, row.finish or "stop") for row in rows]
        if len(going) < len(alive):
            keep = torch.tensor(going, device=tokens.device)
            batch.keep(keep)
            alive, tokens = [alive[i] for i in going], tokens[keep]
        batch.feed(tokens)
