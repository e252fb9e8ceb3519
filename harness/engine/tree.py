"""The prefix tree of token sequences, flattened: what any number of sequences begin with alike is there once.

Nodes are numbered depth first, children in the order of their tokens, so a node's subtree is a run of numbers: node k is an
ancestor of node n, or n itself, exactly if k <= n < end[k].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.engine.sequences import Ids

Nodes = NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """N nodes: token ids, depths (0 at a root), and the number after each node's subtree.  `paths`: for each sequence, the
    nodes of its tokens from the place that was asked for; `order`: the sequences as the tree meets their last nodes."""

    tokens: Nodes
    depth: Nodes
    end: Nodes
    paths: list[list[int]]
    order: list[int]

    def __len__(self) -> int:
        return len(self.tokens)

    def sees(self, nodes: Nodes, keys: Nodes) -> NDArray[np.bool_]:
        """Which keys [K] are ancestors of each of the nodes [Q], or the node itself: [Q, K]."""
        return (keys[None] <= nodes[:, None]) & (nodes[:, None] < self.end[keys][None])


def grow(sequences: Sequence[Ids], since: Sequence[int]) -> Tree:
    """The tree of `sequences`, each of at least one token; paths begin at the places `since`."""
    rows = [list(s) for s in sequences]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    tokens: list[int] = []
    depth: list[int] = []
    ends: dict[int, int] = {}
    paths: list[list[int]] = [[] for _ in rows]
    path: list[int] = []
    last: list[int] = []
    for i in order:
        row = rows[i]
        same = shared(last, row)
        ends |= dict.fromkeys(path[same:], len(tokens))
        path = [*path[:same], *range(len(tokens), len(tokens) + len(row) - same)]
        tokens += row[same:]
        depth += range(same, len(row))
        paths[i] = path[since[i] :]
        last = row
    ends |= dict.fromkeys(path, len(tokens))
    end = np.fromiter((ends[n] for n in range(len(tokens))), np.int64, len(tokens))
    return Tree(np.array(tokens, np.int64), np.array(depth, np.int64), end, paths, order)


def shared(first: Sequence[object], second: Sequence[object]) -> int:
    """How many tokens (of texts: characters) two sequences begin with alike, by bisection."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
