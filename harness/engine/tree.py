"""The prefix tree of token sequences, flattened: a prefix that several sequences share is in it once.

Nodes are numbered depth first, children in the order of their tokens, so a node's subtree is a run of numbers: node k is an
ancestor of node n, or n itself, exactly if k <= n < subtree_end[k].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TokenIds = Sequence[int]
Nodes = NDArray[np.int64]


@dataclass(frozen=True)
class PrefixTree:
    """N nodes: token ids [N], depths [N] (0 at a root), and the number after each node's subtree [N].

    `paths`: for each sequence the nodes of its tokens from its path start on.  `order`: the sequences, sorted by their tokens;
    so their last nodes ascend.
    """

    tokens: Nodes
    depth: Nodes
    subtree_end: Nodes
    paths: list[list[int]]
    order: list[int]

    def __len__(self) -> int:
        return len(self.tokens)

    def ancestor_mask(self, nodes: Nodes, keys: Nodes) -> NDArray[np.bool_]:
        """[Q, K]: is key k [K] an ancestor of node q [Q], or the node itself?"""
        return (keys[None] <= nodes[:, None]) & (nodes[:, None] < self.subtree_end[keys][None])


def build_tree(sequences: Sequence[TokenIds], path_starts: Sequence[int]) -> PrefixTree:
    """The tree of `sequences`, each of at least one token; the path of sequence i begins at its token `path_starts[i]`.

    In sorted order, a sequence shares with the tree so far exactly what it shares with its predecessor: one comparison each.
    """
    rows = [list(s) for s in sequences]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    tokens, depth, path, previous = (list[int]() for _ in range(4))
    ends: dict[int, int] = {}
    paths: list[list[int]] = [[] for _ in rows]
    for i in order:
        row = rows[i]
        same = common_prefix_length(previous, row)
        ends |= dict.fromkeys(path[same:], len(tokens))  # nothing comes below these nodes any more
        path = [*path[:same], *range(len(tokens), len(tokens) + len(row) - same)]
        tokens += row[same:]
        depth += range(same, len(row))
        paths[i] = path[path_starts[i] :]
        previous = row
    ends |= dict.fromkeys(path, len(tokens))
    subtree_end = np.fromiter((ends[n] for n in range(len(tokens))), np.int64, len(tokens))
    return PrefixTree(np.array(tokens, np.int64), np.array(depth, np.int64), subtree_end, paths, order)


def common_prefix_length(first: Sequence[object], second: Sequence[object]) -> int:
    """The number of items (tokens, characters, messages) at the start that two sequences share, by bisection."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
