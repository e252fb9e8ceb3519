"""Forward passes over a prefix tree, each node once: chunks of nodes packed in one row.

A token's position is its depth, a mask shows it its ancestors alone, and the cache holds no more than the path to the next
token.  So each token is computed as if its own sequence were alone.  Shapes: Q nodes in a chunk, K keys (the path to the
chunk, then the chunk), W wanted nodes, V tokens in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from harness.engine import memory, packed_attention, shared_length, shared_prefix_attention
from harness.engine.tree import Nodes, PrefixTree

KEPT_SHARE = 0.25  # of a buffer's tokens: where no more are kept, a smaller buffer takes its place
Read = TypeVar("Read")  # what a caller makes of a step


class PathCache(DynamicLayer):  # type: ignore[misc]
    """Keys and values [1, heads, tokens, d] of one layer, in buffers that grow by doubling."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: tuple[Tensor, ...] = ()

    @property
    def length(self) -> int:
        return int(self.keys.shape[2]) if self.buffers else 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Appends keys and values; returns all of them so far."""
        new = (key_states, value_states)
        start, stop = self.length, self.length + key_states.shape[2]
        if not self.buffers or stop > self.buffers[0].shape[2]:
            old = (self.keys, self.values) if self.buffers else ()
            self.buffers = tuple(memory.lazy_zeros(n, (*n.shape[:2], 2 * stop, n.shape[3])) for n in new)
            for buffer, states in zip(self.buffers, old, strict=False):
                buffer[:, :, :start] = states
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
        for buffer, states in zip(self.buffers, new, strict=True):
            buffer[:, :, start:stop] = states
        self.truncate(stop)
        return self.keys, self.values

    def truncate(self, length: int) -> None:
        """Forgets all but the first `length` tokens."""
        if self.buffers:
            self.keys, self.values = (b[:, :, :length] for b in self.buffers)

    def keep_columns(self, same: int, columns: Tensor) -> None:
        """Keeps the first `same` tokens, and of the later ones those in `columns`; frees buffers that are almost empty then."""
        length = same + len(columns)
        if self.buffers and length <= KEPT_SHARE * self.buffers[0].shape[2]:
            self.buffers = tuple(torch.cat([b[:, :, :same], b[:, :, columns]], 2) for b in self.buffers)
        else:
            for buffer in self.buffers:
                buffer[:, :, same:length] = buffer[:, :, columns]
        self.truncate(length)


@dataclass(frozen=True)
class PrefillStep:
    """The result of one forward pass: logits [W, V] after the wanted nodes of the chunk [W], and the keys [K] in the cache."""

    keys: Nodes
    nodes: Nodes
    logits: Tensor
    cache: Any


@torch.inference_mode()
def prefill_tree(
    model: Any, tree: PrefixTree, target_nodes: Nodes, budget: memory.TokenBudget, read: Callable[[PrefillStep], Read]
) -> Iterator[Read]:
    """Forwards every node of the tree once, in order; yields what `read` makes of each step, whose cache is gone then.

    `target_nodes`: the nodes, ascending, after which logits are computed.
    When memory runs out, the chunk is tried again with half as many nodes; the cache is cut back to the path before it.
    """
    cache = Cache(layer_class_to_replicate=PathCache)
    configs = shared_prefix_attention.attention_configs(model) if budget.run_length else []
    windows = shared_length.layer_windows(model) if budget.has_windows else None
    path = np.empty(0, np.int64)
    start = 0
    while start < len(tree):
        stop = min(start + budget.tokens, len(tree))
        keys = np.concatenate([path, np.arange(start, stop)])
        nodes = target_nodes[np.searchsorted(target_nodes, start) : np.searchsorted(target_nodes, stop)]
        try:
            with shared_prefix_attention.use_attention(configs, packed_attention.NAME):
                logits = forward_chunk(
                    model, TreeChunk(tree, keys, len(path), budget.run_length, windows), nodes - start, cache
                )
        except RuntimeError as error:
            budget.halve(error)
            for layer in cache.layers:  # some layers took the chunk in before the pass failed
                layer.truncate(len(path))
            continue
        result = read(PrefillStep(keys, nodes, logits, cache))
        path = prune_cache(tree, keys, len(path), stop, cache)
        start = stop
        del logits  # whoever takes what was read may take his time
        yield result


@dataclass(frozen=True)
class TreeChunk:
    """Nodes that are forwarded together: the keys from `start` on.  The keys before are the path to them.

    `windows`: the layers' sliding windows, for masks of the model's own attention; see shared_length.layer_windows().
    """

    tree: PrefixTree
    keys: Nodes
    start: int
    run_length: int
    windows: dict[str, int | None] | int | None = None

    def attention_arguments(self, mask_like: Tensor) -> dict[str, Any]:
        """The model's arguments that show each node its ancestors alone; masks have the type and device of `mask_like`.

        A packed row has siblings side by side: the usual causal mask would show a token the branches to its left.
        """
        if self.run_length:
            # The packed attention ignores this mask; it keeps the model from building one of its own, [Q, K].
            placeholder = mask_like.new_zeros((1, 1, len(self.keys) - self.start, 1))
            row = packed_attention.PackedRow(self.tree, self.keys, self.start, self.run_length, mask_like)
            return {"attention_mask": placeholder, "packed_row": row}
        if isinstance(self.windows, dict):
            return {"attention_mask": {kind: self.mask(window, mask_like) for kind, window in self.windows.items()}}
        return {"attention_mask": self.mask(self.windows, mask_like)}

    def mask(self, window: int | None, mask_like: Tensor) -> Tensor:
        """[1, 1, Q, K]: shows each node its ancestors, at most `window` - 1 tokens before it."""
        nodes, depth = self.keys[self.start :], self.tree.depth
        visible = self.tree.ancestor_mask(nodes, self.keys)
        if window:
            visible &= depth[self.keys][None] > depth[nodes][:, None] - window
        return shared_prefix_attention.additive_mask(torch.from_numpy(~visible), mask_like)[None, None]


def forward_chunk(model: Any, chunk: TreeChunk, target_nodes: Nodes, cache: Any) -> Tensor:
    """Logits [W, V] after the wanted places of the chunk."""
    nodes, device = chunk.keys[chunk.start :], model.device
    out = model(
        input_ids=torch.from_numpy(chunk.tree.tokens[nodes])[None].to(device),
        # A token's place in the packed row says nothing: its position in its own sequence is its depth.
        position_ids=torch.from_numpy(chunk.tree.depth[nodes])[None].to(device),
        **chunk.attention_arguments(torch.empty(0, dtype=model.dtype, device=device)),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=torch.from_numpy(target_nodes).to(device),
    )
    logits: Tensor = out.logits[0]
    return logits


def prune_cache(tree: PrefixTree, keys: Nodes, path_length: int, node: int, cache: Any) -> Nodes:
    """Leaves in the cache only the ancestors of `node`, and returns them; the first `path_length` keys led to the chunk."""
    columns = np.flatnonzero(node < tree.subtree_end[keys])
    same = int(np.searchsorted(columns, path_length))  # ancestors nest: what stays of the old path is its beginning
    later_columns = torch.from_numpy(columns[same:])
    for layer in cache.layers:
        layer.keep_columns(same, later_columns.to(layer.device))
    return keys[columns]
