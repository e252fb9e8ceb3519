"""Attention for decoding rows that begin alike: one product of all rows with the keys they share, one of each with its own.

The two are merged by the logarithms of their sums of exponentials.  Shapes: B rows with one new token each, H heads over G
groups of keys and values, E = H / G heads for each of them, d wide, P shared tokens, S own ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

NAME = "skilldelta_cascade"
MORE = "this attention has more terms than keys and values"
States = Sequence[tuple[Tensor, Tensor]]  # for each layer: keys and values [G, tokens, d]


@dataclass(frozen=True)
class Shared:
    """What some rows of a batch begin with; `rows`: their places, None: all."""

    rows: Tensor | None
    states: States


class Own(Protocol):
    """What the rows of one layer have behind what they share."""

    def parts(self) -> Iterable[tuple[slice, Tensor, Tensor]]:
        """Runs of rows that cover the batch in order, with their keys and values [rows, G, S, d]."""
        ...


@dataclass(frozen=True)
class Within:
    """What rows see in a layer whose tokens see so many tokens up to themselves.

    `own`: the mask of the rows' own keys [B, 1, 1, S]; `prefixes`: for each shared prefix the first key that a row sees, and a
    mask [rows, keys from there] where not all of its rows see the same, else None.
    """

    own: Tensor
    prefixes: list[tuple[int, Tensor | None]]


@dataclass(frozen=True)
class Cascade:
    """`own`: for each layer.  `places`: of each row's new token among its own tokens [B]."""

    shared: Sequence[Shared]
    own: Sequence[Own]
    places: Tensor
    known: dict[int, Within] = field(default_factory=dict)

    def within(self, window: int, mask: Tensor) -> Within:
        """Made once for all layers with that window, 0: they see all.  `mask`: of the rows' own keys, whatever the window."""
        if window not in self.known:
            self.known[window] = self.look(window, mask) if window else Within(mask, [(0, None)] * len(self.shared))
        return self.known[window]

    def look(self, window: int, mask: Tensor) -> Within:
        prefixes: list[tuple[int, Tensor | None]] = []
        for shared in self.shared:
            tokens = shared.states[0][0].shape[1]
            places = self.places if shared.rows is None else self.places[shared.rows]
            first = (places + (tokens - window + 1)).clamp(min=0, max=tokens)
            start, same = int(first.min()), int(first.max())
            unseen = torch.arange(start, tokens, device=first.device) < first[:, None]
            prefixes.append((start, hiding(unseen, mask) if start < same else None))
        unseen = torch.arange(mask.shape[3], device=mask.device) <= self.places[:, None] - window
        return Within(mask.minimum(hiding(unseen, mask)[:, None, None]), prefixes)


@dataclass(frozen=True)
class How:
    """What a model's attention does besides the softmax of products.  `sinks`: a logit for each head [H]."""

    scaling: float
    softcap: float | None = None
    sinks: Tensor | None = None


def attention(  # noqa: PLR0913  transformers' own signature
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    s_aux: Tensor | None = None,
    cascade: Cascade | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """query [B, H, 1, d], key and value [B, G, 1, d] of the new tokens, which are among the rows' own already; the mask
    [B, 1, 1, S] is added to the scores of a row's own keys; `s_aux`: the logit of each head's sink [H]."""
    if cascade is None or wants_more(more):
        raise NotImplementedError(MORE)
    rows, heads, _, width = query.shape
    mine = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
    how = How(scaling or width**-0.5, softcap, s_aux)
    within = cascade.within(sliding_window or 0, attention_mask)
    mask = within.own.expand(-1, -1, mine.shape[2], -1)
    parts = [part(mine[at], k, v, mask[at, ..., : k.shape[2]], how) for at, k, v in cascade.own[module.layer_idx].parts()]
    out, mass = parts[0] if len(parts) == 1 else (torch.cat(each) for each in zip(*parts, strict=True))
    if s_aux is not None:
        out, mass = drained(out, mass, s_aux.view(mine.shape[1:3]))
    for shared, (start, hidden) in zip(cascade.shared, within.prefixes, strict=True):
        keys, values = shared.states[module.layer_idx]
        if keys.shape[1] > start:
            some = mine if shared.rows is None else mine[shared.rows]
            merge(out, mass, shared.rows, together(some, keys[:, start:], values[:, start:], hidden, how))
    return out.reshape(rows, 1, heads, value.shape[3]), None


def wants_more(given: Mapping[str, Any]) -> bool:
    """Does a model ask its attention for a bias by position?"""
    return given.get("position_bias") is not None


def hiding(unseen: Tensor, like: Tensor) -> Tensor:
    """What is added to scores, of the type and on the device of `like`: 0 where a key is seen, the least number where not."""
    mask = like.new_zeros(unseen.shape)
    return mask.masked_fill_(unseen.to(mask.device), torch.finfo(mask.dtype).min)


Part = tuple[Tensor, Tensor]  # what is read [B, G, E, d]; the logarithm of the sum of exponentials of the scores [B, G, E]


def together(mine: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, how: How) -> Part:
    """Rows [B, G, E, d] over the same keys and values [G, P, d]: B E queries for each of the G.  The mask is [B, P]."""
    rows, groups, each, width = mine.shape
    queries = mine.transpose(0, 1).reshape(1, groups, rows * each, width)
    spread = None if mask is None else mask.repeat_interleave(each, 0)[None, None]
    out, mass = part(queries, keys[None], values[None], spread, how)
    return out.view(groups, rows, each, -1).transpose(0, 1), mass.view(groups, rows, each).transpose(0, 1)


def part(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, how: How) -> Part:
    """Attention with the mass of its scores, by the processor's fused kernel where that can do it."""
    if query.device.type == "cpu" and how.softcap is None and query.shape[3] == value.shape[3]:
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, mass = fused(query, key, value, attn_mask=mask, scale=how.scaling)
        return out, mass.reshape(query.shape[:3])
    scores = (query @ key.transpose(2, 3)).float() * how.scaling
    if how.softcap is not None:
        scores = (scores / how.softcap).tanh() * how.softcap
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1).to(value.dtype) @ value, scores.logsumexp(-1)


def drained(out: Tensor, mass: Tensor, sinks: Tensor) -> Part:
    """With sinks, which take their part of the softmax and give nothing (Xiao et al. 2024)."""
    sinks = sinks.to(mass.dtype)
    return out * (mass - sinks).sigmoid()[..., None].to(out.dtype), torch.logaddexp(mass, sinks)


def merge(out: Tensor, mass: Tensor, rows: Tensor | None, shared: Part) -> None:
    """Brings the shared part of some rows into what they read of their own."""
    if rows is None:
        out.lerp_(shared[0], (shared[1] - mass).sigmoid()[..., None].to(out.dtype))
        return
    share = (shared[1] - mass[rows]).sigmoid()[..., None].to(out.dtype)
    out[rows] = out[rows].lerp(shared[0], share)


def configs(model: Any) -> list[Any]:
    """Everything in the model that says which attention is used."""
    found = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    return [c for c in found.values() if hasattr(c, "_attn_implementation_internal")]


@contextmanager
def switched(configs: Sequence[Any], name: str = NAME) -> Iterator[None]:
    """The model with another attention in place of its own."""
    own = [c._attn_implementation_internal for c in configs]
    for config in configs:
        config._attn_implementation_internal = name
    try:
        yield
    finally:
        for config, name in zip(configs, own, strict=True):
            config._attn_implementation_internal = name


AttentionInterface.register(NAME, attention)
