"""Attention for a packed row: a run of its tokens reads the keys that one of them sees, not all that are there.

What every token of a run sees is read without a mask, for all heads of a group at once; the rest under a mask; the two are
merged as in the cascade.  Shapes: Q tokens in the row, N of them in a run, H heads over G groups of keys and values, E = H / G
heads for each of them, d wide, K keys in the cache, the row's own the last Q of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface

from harness.engine.shared_prefix_attention import MORE, How, drained, hiding, merge, part, wants_more
from harness.engine.tree import Nodes, Tree

NAME = "skilldelta_looks"


@dataclass(frozen=True)
class Look:
    """What a run of tokens sees: the keys `shared`, and what the mask [N, S] says of the keys at `places`."""

    rows: slice
    shared: slice
    places: list[slice]
    mask: Tensor
    spread: dict[int, Tensor] = field(default_factory=dict)  # the mask for so many heads of a group

    def masked(self, heads: int) -> Tensor:
        if heads not in self.spread:
            self.spread[heads] = self.mask.repeat(heads, 1)[None, None]
        return self.spread[heads]


@dataclass(frozen=True)
class Looks:
    """The last of the keys, from the place `row`, are a row; `size` of its tokens are a run.  `like`: for masks."""

    tree: Tree
    keys: Nodes
    row: int
    size: int
    like: Tensor
    known: dict[int, list[Look]] = field(default_factory=dict)

    def within(self, window: int | None) -> list[Look]:
        """What the runs see in a layer whose tokens see so many tokens up to themselves; None: all."""
        reach = window or len(self.keys)  # no key is farther away
        if reach not in self.known:
            starts = range(self.row, len(self.keys), self.size)
            self.known[reach] = [self.look(slice(at, min(at + self.size, len(self.keys))), reach) for at in starts]
        return self.known[reach]

    @cached_property
    def ends(self) -> Nodes:
        return self.tree.end[self.keys]

    @cached_property
    def depth(self) -> Nodes:
        return self.tree.depth[self.keys]

    def look(self, run: slice, window: int) -> Look:
        """The run of tokens at these places."""
        nodes, ends, depth = self.keys[run], self.ends, self.depth
        path = ends[: self.row]  # it nests: who sees one of its keys sees those before it, and a key's place is its depth
        every, some = int((path > nodes[-1]).sum()), int((path > nodes[0]).sum())
        oldest, newest = (max(0, int(d) - window + 1) for d in (depth[run].min(), depth[run].max()))
        first = self.row + int(np.argmax(ends[self.row :] > nodes[0]))  # of the row's own, the first that one of the run sees
        shared = slice(min(newest, every), every)
        places = [slice(oldest, shared.start), slice(max(every, oldest), some), slice(first, run.stop)]
        places = [p for p in places if p.start < p.stop]
        at = np.r_[tuple(places)]
        unseen = (self.keys[at] > nodes[:, None]) | (ends[at] <= nodes[:, None]) | (depth[at] <= depth[run][:, None] - window)
        own = slice(run.start - self.row, run.stop - self.row)
        return Look(own, shared, places, hiding(torch.from_numpy(unseen), self.like))


def attention(  # noqa: PLR0913  transformers' own signature
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    s_aux: Tensor | None = None,
    looks: Looks | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """query [1, H, Q, d], key and value [1, G, K, d]; `s_aux`: the logit of each head's sink [H]."""
    if looks is None or wants_more(more):
        raise NotImplementedError(MORE)
    how = How(scaling or query.shape[3] ** -0.5, softcap, s_aux)
    mine = query.view(1, key.shape[1], query.shape[1] // key.shape[1], *query.shape[2:])
    found = [seen(mine[:, :, :, one.rows], key, value, one, how) for one in looks.within(sliding_window)]
    return torch.cat(found, 1), None


def seen(query: Tensor, key: Tensor, value: Tensor, one: Look, how: How) -> Tensor:
    """What a run [1, G, E, N, d] reads: [1, N, H, d]."""
    _, groups, heads, rows, width = query.shape
    flat = query.reshape(1, groups, heads * rows, width)
    keys, values = (
        t[:, :, one.places[0]] if len(one.places) == 1 else torch.cat([t[:, :, p] for p in one.places], 2) for t in (key, value)
    )
    out, mass = part(flat, keys, values, one.masked(heads), how)
    if how.sinks is not None:
        out, mass = drained(out, mass, how.sinks.view(groups, heads).repeat_interleave(rows, 1))
    if one.shared.start < one.shared.stop:
        merge(out, mass, None, part(flat, key[:, :, one.shared], value[:, :, one.shared], None, how))
    return out.reshape(1, groups, heads, rows, -1).flatten(1, 2).transpose(1, 2)


AttentionInterface.register(NAME, attention)
