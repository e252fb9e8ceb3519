"""Attention for decoding rows that begin alike: one product of all rows with the keys they share, one of each with its own.

Shapes: B rows with one new token each, H heads over G groups of keys and values, d wide, P shared tokens, S own ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

NAME = "skilldelta_cascade"
Shared = Sequence[tuple[Tensor, Tensor]]  # for each layer: keys and values [G, P, d]


def attention(  # noqa: PLR0913  transformers' own signature
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    softcap: float | None = None,
    cascade: Shared | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """query [B, H, 1, d], key and value [B, G, S, d], mask [B, 1, 1, S] added to the scores of a row's own keys."""
    if cascade is None or more.get("s_aux") is not None or more.get("position_bias") is not None:
        raise NotImplementedError("this attention has more terms than keys and values")
    keys, values = cascade[module.layer_idx]
    rows, heads, _, width = query.shape
    groups, prefix = keys.shape[0], keys.shape[1]
    each = heads // groups
    mine = query.reshape(rows, groups, each, width) * (scaling or width**-0.5)
    together = mine.transpose(0, 1).reshape(groups, rows * each, width)
    left = (together @ keys.transpose(1, 2)).view(groups, rows, each, prefix).transpose(0, 1)
    scores = torch.cat([left, mine @ key.transpose(2, 3)], -1)
    if softcap is not None:
        scores = (scores / softcap).tanh() * softcap
    scores[..., prefix:] += attention_mask
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    share = weights[..., :prefix].transpose(0, 1).reshape(groups, rows * each, prefix)
    out = (share @ values).view(groups, rows, each, values.shape[2]).transpose(0, 1) + weights[..., prefix:] @ value
    return out.reshape(rows, 1, heads, value.shape[3]), None


@contextmanager
def switched(model: Any) -> Iterator[None]:
    """The model with this attention in place of its own."""
    AttentionInterface.register(NAME, attention)
    found = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    configs = [(c, c._attn_implementation_internal) for c in found.values() if hasattr(c, "_attn_implementation_internal")]
    for config, _ in configs:
        config._attn_implementation_internal = NAME
    try:
        yield
    finally:
        for config, own in configs:
            config._attn_implementation_internal = own
