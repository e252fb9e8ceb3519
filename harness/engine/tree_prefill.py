"""Forward passes over a prefix tree, each node once: chunks of nodes packed in one row.

A token's position is its depth, a mask shows it its ancestors alone, and the cache holds no more than the path to the next
token.  Shapes: Q nodes in a chunk, K keys (the path to the chunk, then the chunk), V tokens in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from harness.engine import packed_attention, shared_prefix_attention
from harness.engine.memory import Budget
from harness.engine.tree import Nodes, Tree


class Path(DynamicLayer):  # type: ignore[misc]
    """Keys and values [1, heads, tokens, d] of one layer, in buffers that grow by doubling."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: tuple[Tensor, ...] = ()

    @property
    def used(self) -> int:
        return int(self.keys.shape[2]) if self.buffers else 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Adds keys and values; gives all of them so far."""
        new = (key_states, value_states)
        start, stop = self.used, self.used + key_states.shape[2]
        if not self.buffers:
            self.buffers = tuple(n.new_empty((*n.shape[:2], 2 * stop, n.shape[3])) for n in new)
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
        elif stop > self.buffers[0].shape[2]:
            self.buffers = tuple(torch.cat([b, b, n], 2) for b, n in zip(self.buffers, new, strict=True))
        for buffer, states in zip(self.buffers, new, strict=True):
            buffer[:, :, start:stop] = states
        self.cut(stop)
        return self.keys, self.values

    def cut(self, used: int) -> None:
        """Forgets all but the first tokens."""
        if self.buffers:
            self.keys, self.values = (b[:, :, :used] for b in self.buffers)

    def keep(self, same: int, columns: Tensor) -> None:
        """Keeps the first `same` tokens, and of the later ones those in `columns`."""
        for buffer in self.buffers:
            buffer[:, :, same : same + len(columns)] = buffer[:, :, columns]
        self.cut(same + len(columns))


@dataclass(frozen=True)
class Step:
    """What one forward pass gave: logits [W, V] after the wanted nodes of the chunk [W], and the keys [K] in the cache.

    Logits and cache are good until the next step.
    """

    keys: Nodes
    nodes: Nodes
    logits: Tensor
    cache: Any


@torch.inference_mode()
def sweep(model: Any, tree: Tree, wanted: Nodes, budget: Budget) -> Iterator[Step]:
    """Forwards every node of the tree once, in order.  `wanted`: the nodes, ascending, after which logits are computed."""
    cache = Cache(layer_class_to_replicate=Path)
    configs = shared_prefix_attention.configs(model) if budget.run else []
    path = np.empty(0, np.int64)
    start = 0
    while start < len(tree):
        stop = min(start + budget.tokens, len(tree))
        keys = np.concatenate([path, np.arange(start, stop)])
        nodes = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, stop)]
        try:
            with shared_prefix_attention.switched(configs, packed_attention.NAME):
                logits = forward(model, Chunk(tree, keys, len(path), budget.run), nodes - start, cache)
        except RuntimeError as error:
            budget.halve(error)
            for layer in cache.layers:
                layer.cut(len(path))
            continue
        yield Step(keys, nodes, logits, cache)
        if stop < len(tree):
            path = advance(tree, keys, len(path), stop, cache)
        start = stop


@dataclass(frozen=True)
class Chunk:
    """Nodes that are forwarded together: those of the keys from `start`; the keys before are the path to them."""

    tree: Tree
    keys: Nodes
    start: int
    run: int

    def sight(self, like: Tensor) -> dict[str, Any]:
        """What each of them sees, for the attention; `like`: for masks."""
        if self.run:
            # Models make no mask of their own where one is given.
            given = like.new_zeros((1, 1, len(self.keys) - self.start, 1))
            return {"attention_mask": given, "looks": packed_attention.Looks(self.tree, self.keys, self.start, self.run, like)}
        sees = torch.from_numpy(self.tree.sees(self.keys[self.start :], self.keys))
        return {"attention_mask": shared_prefix_attention.hiding(~sees, like)[None, None]}


def forward(model: Any, chunk: Chunk, wanted: Nodes, cache: Any) -> Tensor:
    """Logits [W, V] after the wanted places of the chunk."""
    nodes, where = chunk.keys[chunk.start :], model.device
    out = model(
        input_ids=torch.from_numpy(chunk.tree.tokens[nodes])[None].to(where),
        position_ids=torch.from_numpy(chunk.tree.depth[nodes])[None].to(where),
        **chunk.sight(torch.empty(0, dtype=model.dtype, device=where)),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=torch.from_numpy(wanted).to(where),
    )
    found: Tensor = out.logits[0]
    return found


def advance(tree: Tree, keys: Nodes, before: int, node: int, cache: Any) -> Nodes:
    """Leaves in the cache only what `node` sees; gives these keys.  The first `before` keys were the path to the chunk."""
    kept = np.flatnonzero(node < tree.end[keys])
    same = int(np.searchsorted(kept, before))  # ancestors nest: of the old path, a first part stays
    columns = torch.from_numpy(kept[same:])
    for layer in cache.layers:
        layer.keep(same, columns.to(layer.device))
    return keys[kept]
