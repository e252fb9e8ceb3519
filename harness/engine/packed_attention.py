"""Attention for a packed row: a run of its tokens reads the keys that one of them sees, not all keys of the row.

A packed row holds the branches of a tree side by side, so most pairs of a token and a key are masked.  The row is cut into
runs of neighbours.  The keys that every token of a run sees are read without a mask, for all heads of a group at once; those
that only some see are read under a mask; all others are not read.  The two outputs are merged by their lse as in
shared_prefix_attention.

Shapes: Q tokens in the row, N of them in a run, H heads over G groups of keys and values, E = H / G heads for each of them,
d wide, K keys in the cache, the row's own the last Q of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface

from harness.engine import shared_prefix_attention
from harness.engine.shared_prefix_attention import AttentionSettings, attend
from harness.engine.tree import Nodes, PrefixTree

NAME = "skilldelta_packed"


@dataclass(frozen=True)
class RunKeys:
    """The keys of a run: `common_keys` are seen by all its tokens, `masked_keys` under the mask [N, S] by some.

    `queries`: the run's tokens among those of the row.
    """

    queries: slice
    common_keys: slice
    masked_keys: list[slice]
    mask: Tensor
    masks_by_heads: dict[int, Tensor] = field(default_factory=dict)

    def mask_for(self, heads: int) -> Tensor:
        """The mask for so many heads of a group, [1, 1, heads N, S]; kept, as every layer needs it."""
        if heads not in self.masks_by_heads:
            self.masks_by_heads[heads] = self.mask.repeat(heads, 1)[None, None]
        return self.masks_by_heads[heads]


@dataclass(frozen=True)
class PackedRow:
    """The keys in the cache, of which those from the place `start` on are the row, in runs of `run_length` tokens.

    `mask_like`: masks have its type and device.
    """

    tree: PrefixTree
    keys: Nodes
    start: int
    run_length: int
    mask_like: Tensor
    runs_by_window: dict[int, list[RunKeys]] = field(default_factory=dict)

    def runs(self, window: int | None) -> list[RunKeys]:
        """The runs in a layer with that sliding window, which counts the token itself; None: no window."""
        width = window or len(self.keys)  # no key is farther away
        if width not in self.runs_by_window:
            stop, ends, depth = len(self.keys), self.tree.subtree_end[self.keys], self.tree.depth[self.keys]
            runs = [slice(at, min(at + self.run_length, stop)) for at in range(self.start, stop, self.run_length)]
            self.runs_by_window[width] = [self.run_keys(run, width, ends, depth) for run in runs]
        return self.runs_by_window[width]

    def run_keys(self, run: slice, window: int, ends: Nodes, depth: Nodes) -> RunKeys:
        """The keys of the run of tokens at these places; `ends`, `depth` [K]: the keys' subtree_end and depth.

        A token n sees key k if k <= n < subtree_end[k] and depth[k] > depth[n] - window.  The keys before the row are a path:
        they nest, so a token sees a first part of them, and a key's place is its depth.
        """
        nodes, path = self.keys[run], ends[: self.start]
        seen_by_all, seen_by_some = int((path > nodes[-1]).sum()), int((path > nodes[0]).sum())
        oldest, newest = (max(0, int(d) - window + 1) for d in (depth[run].min(), depth[run].max()))
        first_own = self.start + int(np.argmax(ends[self.start :] > nodes[0]))  # the row's first key that the run sees
        common_keys = slice(min(newest, seen_by_all), seen_by_all)
        slices = [slice(oldest, common_keys.start), slice(max(seen_by_all, oldest), seen_by_some), slice(first_own, run.stop)]
        masked_keys = [s for s in slices if s.start < s.stop]
        at, query = np.r_[tuple(masked_keys)], nodes[:, None]
        is_hidden = (self.keys[at] > query) | (ends[at] <= query) | (depth[at] <= depth[run][:, None] - window)
        mask = shared_prefix_attention.additive_mask(torch.from_numpy(is_hidden), self.mask_like)
        queries = slice(run.start - self.start, run.stop - self.start)
        return RunKeys(queries, common_keys, masked_keys, mask)


def packed_row_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **terms: Any
) -> tuple[Tensor, None]:
    """Every token of the row over its ancestors: [1, Q, H, d].

    query [1, H, Q, d]; key and value [1, G, K, d].  `terms`: transformers' other arguments, and the `packed_row`; raises
    NotImplementedError for a model that does not pass it down to its attention.
    """
    packed_row: PackedRow | None = terms.get("packed_row")
    if packed_row is None:
        raise NotImplementedError(shared_prefix_attention.UNSUPPORTED_TERMS)
    settings = shared_prefix_attention.read_settings(terms, query.shape[3])
    queries = query.view(1, key.shape[1], query.shape[1] // key.shape[1], *query.shape[2:])
    outputs = [
        attend_run(queries[:, :, :, run.queries], key, value, run, settings)
        for run in packed_row.runs(terms.get("sliding_window"))
    ]
    return torch.cat(outputs, 1), None


def attend_run(query: Tensor, key: Tensor, value: Tensor, run: RunKeys, settings: AttentionSettings) -> Tensor:
    """Attention of a run [1, G, E, N, d] over its keys: [1, N, H, d]."""
    _, groups, heads, rows, width = query.shape
    flat = query.reshape(1, groups, heads * rows, width)
    keys, values = (
        t[:, :, run.masked_keys[0]] if len(run.masked_keys) == 1 else torch.cat([t[:, :, s] for s in run.masked_keys], 2)
        for t in (key, value)
    )
    out, lse = attend(flat, keys, values, run.mask_for(heads), settings)
    if settings.sinks is not None:
        sinks = settings.sinks.view(groups, heads).repeat_interleave(rows, 1)
        out, lse = shared_prefix_attention.apply_sinks(out, lse, sinks)
    if run.common_keys.start < run.common_keys.stop:
        over_common = attend(flat, key[:, :, run.common_keys], value[:, :, run.common_keys], None, settings)
        shared_prefix_attention.merge_outputs(out, lse, None, over_common)
    return out.reshape(1, groups, heads, rows, -1).flatten(1, 2).transpose(1, 2)


AttentionInterface.register(NAME, packed_row_attention)
