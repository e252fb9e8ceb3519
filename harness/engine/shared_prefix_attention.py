"""Attention for rows that share prefixes: one product of all rows with the shared keys, one of each row with its own.

The softmax over all keys of a row is put together from softmaxes over disjoint sets k of them.  With o_k the output over set
k and lse_k = log sum_j exp(s_j) over its scores:

    o = sum_k w_k o_k,    w_k = exp(lse_k - lse),    lse = log sum_k exp(lse_k)

(the merge of FlashAttention's split softmax, arXiv 2205.14135; for shared prefixes: Hydragen, arXiv 2402.05099.)  Keys and
values of a shared prefix are then read once, not once a row.

Shapes: B rows with one new token each, H heads over G groups of keys and values, E = H / G heads for each of them, d wide,
P shared tokens, S own ones.  Several new tokens of one row are rows here too, which have their own keys in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

if TYPE_CHECKING:
    from harness.engine.token_folds import OwnBlock

NAME = "skilldelta_shared_prefix"
UNSUPPORTED_TERMS = "this attention has more terms than keys and values"
LayerStates = Sequence[tuple[Tensor, Tensor]]  # for each layer: keys and values [G, tokens, d]


@dataclass(frozen=True)
class SharedPrefix:
    """A prefix that some rows of a batch have in common; `rows`: their places, None: all rows; `slots`: the same as numbers."""

    rows: Tensor | None
    states: LayerStates
    slots: Sequence[int] | None = None


class OwnKeys(Protocol):
    """Keys and values that the rows of one layer have behind their shared prefixes."""

    def active_blocks(self) -> Iterable[OwnBlock]:
        """Blocks of rows that cover the batch in order."""


@dataclass(frozen=True)
class VisibleKeys:
    """The keys that rows see in a layer with some sliding window.

    `own_mask`: of the rows' own keys [B, 1, 1, S].  `prefix_masks`: for each shared prefix the first key that any row sees,
    and a mask [rows, keys from there] where its rows see different ones, else None.
    """

    own_mask: Tensor
    prefix_masks: list[tuple[int, Tensor | None]]


@dataclass(frozen=True)
class PrefixBatch:
    """The prefixes of a batch and, for each layer, the rows' own keys.

    `places`: of each row's new token among its own [B]; `counts`: the same as numbers, so that no step waits for the device.
    """

    prefixes: Sequence[SharedPrefix]
    own: Sequence[OwnKeys]
    places: Tensor
    counts: Sequence[int]
    visible_by_window: dict[int, VisibleKeys] = field(default_factory=dict)

    def visible_keys(self, window: int, mask: Tensor) -> VisibleKeys:
        """Computed once for all layers with that window (0: none).  `mask`: of the rows' own keys, whatever the window."""
        if window not in self.visible_by_window:
            all_keys = VisibleKeys(mask, [(0, None)] * len(self.prefixes))
            self.visible_by_window[window] = self.windowed_keys(window, mask) if window else all_keys
        return self.visible_by_window[window]

    def windowed_keys(self, window: int, mask: Tensor) -> VisibleKeys:
        """The keys at most `window` - 1 tokens before each new token, which stands `places` tokens behind its prefix."""
        prefix_masks: list[tuple[int, Tensor | None]] = []
        for prefix in self.prefixes:
            length = prefix.states[0][0].shape[1]
            places = self.places if prefix.rows is None else self.places[prefix.rows]
            # Position length + place sees positions from length + place - window + 1 on.
            first = (places + (length - window + 1)).clamp(min=0, max=length)
            counts = self.counts if prefix.slots is None else [self.counts[slot] for slot in prefix.slots]
            start, latest = (min(max(n + length - window + 1, 0), length) for n in (min(counts), max(counts)))
            is_hidden = torch.arange(start, length, device=first.device) < first[:, None]
            prefix_masks.append((start, additive_mask(is_hidden, mask) if start < latest else None))
        is_hidden = torch.arange(mask.shape[3], device=mask.device) <= self.places[:, None] - window
        return VisibleKeys(mask.minimum(additive_mask(is_hidden, mask)[:, None, None]), prefix_masks)


@dataclass(frozen=True)
class AttentionSettings:
    """Terms of a model's attention besides softmax(q k).  `sinks`: a logit for each head [H]."""

    scaling: float
    softcap: float | None = None
    sinks: Tensor | None = None


def read_settings(terms: Mapping[str, Any], width: int) -> AttentionSettings:
    """The settings among the arguments that a model gives its attention; `width`: of a head.

    Raises NotImplementedError for a bias by position, as ALiBi has it: no part here could apply it, and the self-test finds it.
    """
    if terms.get("position_bias") is not None:
        raise NotImplementedError(UNSUPPORTED_TERMS)
    return AttentionSettings(terms.get("scaling") or width**-0.5, terms.get("softcap"), terms.get("s_aux"))


def shared_prefix_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **terms: Any
) -> tuple[Tensor, None]:
    """One new token of each row over its prefix and its own keys: [B, 1, H, d].

    query [B, H, 1, d]; key and value [B, G, 1, d] of the new tokens, which the rows' own keys hold already; `attention_mask`
    [B, 1, 1, S] is added to the scores of a row's own keys.  `terms`: transformers' other arguments, and the `prefix_batch`;
    raises NotImplementedError for a model that does not pass it down to its attention.
    """
    prefix_batch: PrefixBatch | None = terms.get("prefix_batch")
    if prefix_batch is None:
        raise NotImplementedError(UNSUPPORTED_TERMS)
    rows, heads, _, width = query.shape
    # Heads of one group read the same keys: [B, G, E, d] makes them E queries of one product.
    queries = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
    settings = read_settings(terms, width)
    visible = prefix_batch.visible_keys(terms.get("sliding_window") or 0, attention_mask)
    blocks = [
        attend_own_keys(queries[block.tokens], block, visible.own_mask[block.tokens, ..., : block.keys.shape[2]], settings)
        for block in prefix_batch.own[module.layer_idx].active_blocks()
    ]
    out, lse = blocks[0] if len(blocks) == 1 else (torch.cat(each) for each in zip(*blocks, strict=True))
    if settings.sinks is not None:
        out, lse = apply_sinks(out, lse, settings.sinks.view(queries.shape[1:3]))
    for prefix, (start, prefix_mask) in zip(prefix_batch.prefixes, visible.prefix_masks, strict=True):
        keys, values = prefix.states[module.layer_idx]
        if keys.shape[1] > start:
            sharing = queries if prefix.rows is None else queries[prefix.rows]
            over_prefix = attend_shared_keys(sharing, keys[:, start:], values[:, start:], prefix_mask, settings)
            merge_outputs(out, lse, prefix.rows, over_prefix)
    return out.reshape(rows, 1, heads, value.shape[3]), None


def additive_mask(is_hidden: Tensor, like: Tensor) -> Tensor:
    """A mask to add to scores, of the type and on the device of `like`: the lowest number where `is_hidden`, else 0."""
    mask = like.new_zeros(is_hidden.shape)
    return mask.masked_fill_(is_hidden.to(mask.device), torch.finfo(mask.dtype).min)


OutputAndLse = tuple[Tensor, Tensor]  # output [B, G, E, d]; log of the sum of exponentials of the scores [B, G, E]


def attend_own_keys(queries: Tensor, block: OwnBlock, mask: Tensor, settings: AttentionSettings) -> OutputAndLse:
    """The rows of a block [B, G, E, d] over their own keys.  The mask is [B, 1, 1, S]."""
    each, fold = queries.shape[2], block.fold
    if fold is None:
        return attend(queries, block.keys, block.values, mask.expand(-1, -1, each, -1), settings)
    folded = attend(fold.queries(queries), block.keys, block.values, fold.mask(mask, each), settings)
    out, lse = (fold.tokens(values, each) for values in folded)
    return out, lse


def attend_shared_keys(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, settings: AttentionSettings
) -> OutputAndLse:
    """Rows [B, G, E, d] over the same keys and values [G, P, d].  The mask is [B, P].

    The rows become B E queries of one sequence for each group, so that the keys are read once for the whole batch.
    """
    rows, groups, each, width = queries.shape
    flat = queries.transpose(0, 1).reshape(1, groups, rows * each, width)
    flat_mask = None if mask is None else mask.repeat_interleave(each, 0)[None, None]
    out, lse = attend(flat, keys[None], values[None], flat_mask, settings)
    return out.view(groups, rows, each, -1).transpose(0, 1), lse.view(groups, rows, each).transpose(0, 1)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, settings: AttentionSettings) -> OutputAndLse:
    """Softmax attention together with the lse of its scores; by the processor's fused kernel where that can do it."""
    if query.device.type == "cpu" and settings.softcap is None and query.shape[3] == value.shape[3]:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, lse = kernel(query, key, value, attn_mask=mask, scale=settings.scaling)
        return out, lse.reshape(query.shape[:3])
    scores = (query @ key.transpose(2, 3)).float() * settings.scaling
    if settings.softcap is not None:
        scores = (scores / settings.softcap).tanh() * settings.softcap
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1).to(value.dtype) @ value, scores.logsumexp(-1)


def apply_sinks(out: Tensor, lse: Tensor, sinks: Tensor) -> OutputAndLse:
    """The output with attention sinks (Xiao et al. 2024, arXiv 2309.17453): a key with logit `sinks` and the value 0.

    By the merge with o_sink = 0 and lse_sink = sink, the output is scaled by
    exp(lse) / (exp(lse) + exp(sink)) = sigmoid(lse - sink).
    """
    sinks = sinks.to(lse.dtype)
    return out * (lse - sinks).sigmoid()[..., None].to(out.dtype), torch.logaddexp(lse, sinks)


def merge_outputs(out: Tensor, lse: Tensor, rows: Tensor | None, over_prefix: OutputAndLse) -> None:
    """Merges, in place, attention over a shared prefix into `out`, the attention of its rows over their own keys.

    For two sets of keys, w_prefix = exp(lse_p) / (exp(lse_p) + exp(lse)) = sigmoid(lse_p - lse), and
    o = out + w_prefix (o_p - out).  `lse` stays as it is: each row has one prefix, so nothing is merged after it.
    """
    if rows is None:
        out.lerp_(over_prefix[0], (over_prefix[1] - lse).sigmoid()[..., None].to(out.dtype))
        return
    weight = (over_prefix[1] - lse[rows]).sigmoid()[..., None].to(out.dtype)
    out[rows] = out[rows].lerp(over_prefix[0], weight)


def attention_configs(model: Any) -> list[Any]:
    """Every config in the model that names its attention; parts of a model may have their own."""
    unique = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    return [c for c in unique.values() if hasattr(c, "_attn_implementation_internal")]


@contextmanager
def use_attention(configs: Sequence[Any], name: str = NAME) -> Iterator[None]:
    """The model with the attention `name` in place of its own.

    The field is set directly: the public setter would overwrite sub-configs too, whose own names are restored afterwards.
    """
    originals = [c._attn_implementation_internal for c in configs]
    for config in configs:
        config._attn_implementation_internal = name
    try:
        yield
    finally:
        for config, original in zip(configs, originals, strict=True):
            config._attn_implementation_internal = original


AttentionInterface.register(NAME, shared_prefix_attention)
