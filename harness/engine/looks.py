"""Attention for a packed row: a run of its tokens reads the keys that one of them sees, not all that are there.

What every token of a run sees is read without a mask, for all heads of a group at once; the rest under a mask; the two are
merged as in the cascade.  Shapes: Q tokens in the row, N of them in a run, H heads over G groups of keys and values, E = H / G
heads for each of them, d wide, K keys in the cache, the row's own the last Q of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface

from harness.engine.cascade import MORE, merge, part, wants_more
from harness.engine.tree import Nodes, Tree

NAME = "skilldelta_looks"


@dataclass(frozen=True)
class Look:
    """What a run of tokens sees: the first `shared` keys, and what the mask [N, S] says of the keys at `places`."""

    rows: slice
    shared: int
    places: list[slice]
    mask: Tensor
    spread: dict[int, Tensor] = field(default_factory=dict)  # the mask for so many heads of a group

    def masked(self, heads: int) -> Tensor:
        if heads not in self.spread:
            self.spread[heads] = self.mask.repeat(heads, 1)[None, None]
        return self.spread[heads]


def looks(tree: Tree, keys: Nodes, row: int, size: int, like: Tensor) -> list[Look]:
    """The runs of `size` tokens of the row that the last of the keys are, `row` the first one's place; `like`: for masks."""
    path, chunk = tree.end[keys[:row]], keys[row:]
    return [look(tree, path, chunk, slice(at, min(at + size, len(chunk))), like) for at in range(0, len(chunk), size)]


def look(tree: Tree, path: Nodes, chunk: Nodes, rows: slice, like: Tensor) -> Look:
    """`path`: the ends of the keys before the row, which nest: who sees one sees those before it."""
    nodes = chunk[rows]
    every, some = int((path > nodes[-1]).sum()), int((path > nodes[0]).sum())
    first = int(np.argmax(tree.end[chunk] > nodes[0]))  # of the row's own keys, the first that one of the run sees
    places = [slice(every, some)] * (some > every) + [slice(len(path) + first, len(path) + rows.stop)]
    unseen = chunk[None, first : rows.stop] > nodes[:, None]
    unseen |= tree.end[None, chunk[first : rows.stop]] <= nodes[:, None]
    before = path[None, every:some] <= nodes[:, None]
    mask = like.new_zeros((len(nodes), some - every + rows.stop - first))
    hidden = torch.from_numpy(np.concatenate([before, unseen], 1)).to(like.device)
    return Look(rows, every, places, mask.masked_fill_(hidden, torch.finfo(like.dtype).min))


def attention(  # noqa: PLR0913  transformers' own signature
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    looks: Sequence[Look] | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """query [1, H, Q, d], key and value [1, G, K, d]."""
    if looks is None or wants_more(more):
        raise NotImplementedError(MORE)
    how = (scaling or query.shape[3] ** -0.5, softcap)
    mine = query.view(1, key.shape[1], query.shape[1] // key.shape[1], *query.shape[2:])
    found = [seen(mine[:, :, :, one.rows], key, value, one, how) for one in looks]
    return torch.cat(found, 1), None


def seen(query: Tensor, key: Tensor, value: Tensor, one: Look, how: tuple[float, float | None]) -> Tensor:
    """What a run [1, G, E, N, d] reads: [1, N, H, d]."""
    _, groups, heads, rows, width = query.shape
    flat = query.reshape(1, groups, heads * rows, width)
    keys, values = (
        t[:, :, one.places[0]] if len(one.places) == 1 else torch.cat([t[:, :, p] for p in one.places], 2) for t in (key, value)
    )
    out, mass = part(flat, keys, values, one.masked(heads), how)
    if one.shared:
        merge(out, mass, None, part(flat, key[:, :, : one.shared], value[:, :, : one.shared], None, how))
    return out.reshape(1, groups, heads, rows, -1).flatten(1, 2).transpose(1, 2)


AttentionInterface.register(NAME, attention)
