"""The plain path: padded batches, nothing shared.  Right for every causal model, and the reference for faster ones.

Sequences are lists of token ids.  Shapes: B rows in a batch, T positions, V tokens in the vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from harness.engine.device import argmax_rows, to_float64
from harness.engine.memory import halve_or_raise
from harness.engine.sequences import DecodingRow, Generation, TokenChooser, TokenPrompt, append_next_tokens, choose_tokens
from harness.engine.tree import TokenIds

T = TypeVar("T")
CACHE_FIELDS = ("past_key_values", "cache_params")  # of a model's output, that hold its cache or its recurrent state


@dataclass(frozen=True)
class TokenPair:
    """A context and the continuation whose log-likelihood is computed.  Raises ValueError where one of them is empty."""

    context: TokenIds
    continuation: TokenIds

    def __post_init__(self) -> None:
        if not self.context or not self.continuation:
            raise ValueError("A context and its continuation need at least one token each.")


@dataclass(frozen=True)
class LogLikelihood:
    """The log-likelihood of a continuation."""

    logprob: float  # natural logarithm, summed over the continuation's tokens in float64
    greedy: bool  # is every token of the continuation the likeliest one?


def loglikelihoods_in_batches(model: Any, pairs: Sequence[TokenPair], batch_size: int) -> Iterator[tuple[int, LogLikelihood]]:
    """The log-likelihood of every continuation, longest sequences first, each with its place in `pairs`."""
    order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i].context) - len(pairs[i].continuation))
    yield from answer_in_batches(order, batch_size, lambda places: loglikelihood_batch(model, [pairs[i] for i in places]))


def answer_in_batches(order: Sequence[int], rows: int, answer: Callable[[Sequence[int]], list[T]]) -> Iterator[tuple[int, T]]:
    """The answer to every place of `order`, in batches of `rows`.

    Out of memory, the batch is tried again with half as many places, and all later ones have this size: the longest sequences
    come first, so that what fits once fits to the end.
    """
    start = 0
    while start < len(order):
        places = order[start : start + rows]
        try:
            answers = answer(places)
        except RuntimeError as error:
            rows = halve_or_raise(min(rows, len(places)), error)
            continue
        yield from zip(places, answers, strict=True)
        start += len(places)


@torch.inference_mode()
def loglikelihood_batch(model: Any, pairs: Sequence[TokenPair]) -> list[LogLikelihood]:
    """One forward pass over B right-padded sequences: a causal model sees no padding, as it stands behind every token."""
    rows = [[*p.context, *p.continuation][:-1] for p in pairs]
    width = max(map(len, rows))
    kept_positions = max(len(p.continuation) for p in pairs) + width - min(map(len, rows))
    logits = forward_padded(model, rows, kept_positions)  # [B, <= T, V]
    first = width - logits.shape[1]  # the position of the first logits that were kept
    return [
        loglikelihood_of(logits[i, len(row) - len(p.continuation) - first : len(row) - first], p.continuation)
        for i, (row, p) in enumerate(zip(rows, pairs, strict=True))
    ]


def forward_padded(model: Any, rows: Sequence[TokenIds], kept_positions: int) -> torch.Tensor:
    """Logits of B right-padded rows, of the last `kept_positions` or more: [B, <= T, V]."""
    width = max(map(len, rows))
    ids = torch.tensor([[*r, *[0] * (width - len(r))] for r in rows], device=model.device)
    mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows], device=model.device)
    arguments = logits_to_keep_argument(model, kept_positions)
    logits: torch.Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False, **arguments).logits
    return logits


def logits_to_keep_argument(model: Any, kept_positions: int) -> dict[str, int]:
    """The argument that limits logits to the last positions, for a model that takes it."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    parameters = inspect.signature(getattr(base, "forward", base)).parameters
    return {"logits_to_keep": kept_positions} if "logits_to_keep" in parameters or "inputs" in parameters else {}


def loglikelihood_of(logits: torch.Tensor, targets: TokenIds) -> LogLikelihood:
    """The log-likelihood of `targets` [T] under `logits` [T, V]: sum_t (z_t - lse(z)), summed in float64."""
    tokens = torch.tensor(targets, device=logits.device)
    logits = logits.float()
    logprobs = to_float64(logits.gather(1, tokens[:, None])[:, 0]) - to_float64(logits.logsumexp(1))
    return LogLikelihood(logprobs.sum().item(), bool((argmax_rows(logits) == tokens).all()))


class CachedBatch:
    """B left-padded sequences that are generated together with the model's own cache.

    Padding is on the left, so that each row's next token has the same place in the cache; a mask hides the padding, and
    positions count from each row's first token.
    """

    def __init__(self, model: Any, sequences: Sequence[TokenIds]) -> None:
        self.model = model
        width = max(map(len, sequences))
        self.mask = torch.tensor([[0] * (width - len(s)) + [1] * len(s) for s in sequences], device=model.device)
        self.positions = (self.mask.cumsum(1) - 1).clamp(min=0)
        self.cache: dict[str, Any] = {}
        self.logits = self.forward(torch.tensor([[0] * (width - len(s)) + list(s) for s in sequences], device=model.device))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] after the last of the new tokens [B, T].  NotImplementedError: the model returns no cache."""
        # A recurrent state has no places: a token that it has taken in cannot be hidden from it any more.
        places = {} if "cache_params" in self.cache else {"attention_mask": self.mask, "position_ids": self.positions}
        out = self.model(input_ids=ids, use_cache=True, **places, **self.cache, **logits_to_keep_argument(self.model, 1))
        self.cache = {name: cache for name in CACHE_FIELDS if (cache := getattr(out, name, None)) is not None}
        if not self.cache:
            raise NotImplementedError("the model returns no cache")
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Removes all sequences but those at the places `rows`."""
        for cache in self.cache.values():
            cache.reorder_cache(rows)
        self.mask, self.positions = self.mask[rows], self.positions[rows]

    def feed(self, tokens: torch.Tensor) -> None:
        """Adds a token [B] to each sequence."""
        self.mask = torch.cat([self.mask, torch.ones_like(tokens[:, None])], 1)
        self.positions = self.positions[:, -1:] + 1
        self.logits = self.forward(tokens[:, None])


class RecomputedBatch:
    """The same without a cache: right for a model whose cache is of its own kind, and slow."""

    def __init__(self, model: Any, sequences: Sequence[TokenIds]) -> None:
        self.model, self.rows = model, [list(s) for s in sequences]
        self.logits = self.forward()

    def forward(self) -> torch.Tensor:
        lengths = [len(r) for r in self.rows]
        logits = forward_padded(self.model, self.rows, 1 + max(lengths) - min(lengths))
        first = max(lengths) - logits.shape[1]
        return torch.stack([row[n - 1 - first] for row, n in zip(logits, lengths, strict=True)])

    def keep_rows(self, rows: torch.Tensor) -> None:
        self.rows = [self.rows[i] for i in rows.tolist()]

    def feed(self, tokens: torch.Tensor) -> None:
        for row, token in zip(self.rows, tokens.tolist(), strict=True):
            row.append(token)
        self.logits = self.forward()


BatchKind = type[CachedBatch] | type[RecomputedBatch]


def generate_in_batches(
    model: Any,
    prompts: Sequence[TokenPrompt],
    end_tokens: frozenset[int],
    batch_size: int,
    kind: BatchKind = CachedBatch,
    choose: TokenChooser = choose_tokens,
) -> Iterator[tuple[int, Generation]]:
    """The generation for every prompt, longest first, each with its place in `prompts`.  `end_tokens` end a text."""
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))

    def answer(places: Sequence[int]) -> list[Generation]:
        rows = [DecodingRow(prompts[i], end_tokens) for i in places]
        return generate_batch(kind(model, [prompts[i].ids for i in places]), rows, choose)

    yield from answer_in_batches(order, batch_size, answer)


@torch.inference_mode()
def generate_batch(batch: CachedBatch | RecomputedBatch, rows: Sequence[DecodingRow], choose: TokenChooser) -> list[Generation]:
    """Decodes B prompts together; a finished row leaves the batch."""
    active = list(rows)
    while True:
        tokens = append_next_tokens(batch.logits, active, choose)
        active_places = [i for i, row in enumerate(active) if not row.finish]
        if not active_places:
            return [Generation(row.ids, row.finish or "stop") for row in rows]
        if len(active_places) < len(active):
            keep = torch.tensor(active_places, device=tokens.device)
            batch.keep_rows(keep)
            active, tokens = [active[i] for i in active_places], tokens[keep]
        batch.feed(tokens)
