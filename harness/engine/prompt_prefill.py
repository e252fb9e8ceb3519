"""Prompts that are prefilled along their tree, and which of them are decoded behind one prefix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from harness.engine.memory import TokenBudget
from harness.engine.sequences import TokenPrompt
from harness.engine.shared_prefix_attention import LayerStates
from harness.engine.tree import Nodes, PrefixTree, TokenIds, build_tree, common_prefix_length
from harness.engine.tree_prefill import PrefillStep, prefill_tree

MIN_TOKENS_SAVED = 512  # that a longer prefix must spare its rows to read, all together, to be kept apart


@dataclass(frozen=True)
class PrefilledPrompt:
    """A prompt whose tokens are computed, at all places where it stands in the list of prompts.

    `prefix`: keys and values that it shares with its group; `states`: its own behind them; `logits` [V]: after its last token.
    """

    places: list[int]
    prefix: LayerStates
    states: LayerStates
    logits: torch.Tensor


@dataclass(frozen=True)
class PrefixGroup:
    """Places of the sequences that are decoded behind the same first `prefix_length` tokens."""

    members: list[int]
    prefix_length: int


def group_by_prefix(sequences: Sequence[TokenIds], order: Sequence[int]) -> list[PrefixGroup]:
    """The sequences by the prefix that each is best decoded behind; `order`: all places, sorted by the tokens.

    From the whole set downwards.  The common prefix of a stretch of sorted sequences is the minimum over its neighbours' common
    prefixes, so the stretch splits at each neighbour that shares just this minimum.  A part with a longer prefix becomes a
    group of its own if (rows - 1) * (extra tokens of its prefix) >= MIN_TOKENS_SAVED: so many keys are read once instead of by
    each row, and a smaller gain is lost to one more product in each layer.  A sequence alone stays behind the larger set's
    prefix.
    """
    same = np.array([common_prefix_length(sequences[a], sequences[b]) for a, b in pairwise(order)], np.int64)
    groups: list[PrefixGroup] = []
    stretches: list[tuple[int, int, PrefixGroup | None]] = [(0, len(order), None)] if order else []
    while stretches:
        start, stop, group = stretches.pop()
        inner = same[start : stop - 1]
        length = int(inner.min()) if len(inner) else len(sequences[order[start]])
        if group is None or (stop - start - 1) * (length - group.prefix_length) >= MIN_TOKENS_SAVED:
            group = PrefixGroup([], length)
            groups.append(group)
        for a, b in pairwise([start, *(start + 1 + np.flatnonzero(inner == length)), stop]):
            if b - a == 1:
                group.members.append(order[a])
            else:
                stretches.append((a, b, group))
    return [g for g in groups if g.members]


class PromptTree:
    """The tree of prompts, and which of them are decoded behind one prefix: the same for every model with these tokens."""

    def __init__(self, sequences: Sequence[TokenIds]) -> None:
        self.tree = build_tree(sequences, [len(s) - 1 for s in sequences])
        groups = group_by_prefix(sequences, self.tree.order)
        self.group_of = {i: number for number, group in enumerate(groups) for i in group.members}
        self.prefix_lengths = [group.prefix_length for group in groups]
        self.places_by_end: dict[int, list[int]] = {}  # equal sequences end at the same node: they are computed once
        for i in self.tree.order:
            self.places_by_end.setdefault(self.tree.paths[i][0], []).append(i)
        suffixes = (len(s) - self.prefix_lengths[self.group_of[i]] for i, s in enumerate(sequences))
        self.longest_suffix = max(suffixes, default=0)  # the most tokens that a prompt has behind its prefix

    def prefix_of(self, node: int) -> tuple[int, int]:
        """The number of the group of the sequences that end at a node, and the length of its prefix."""
        group = self.group_of[self.places_by_end[node][0]]
        return group, self.prefix_lengths[group]


class PlannedPrompts:
    """Prompts with their tree."""

    def __init__(self, prompts: Sequence[TokenPrompt]) -> None:
        self.prompts = prompts
        self.tree = PromptTree([p.ids for p in prompts])

    def select(self, places: Sequence[int]) -> PlannedPrompts:
        """Some of them."""
        return PlannedPrompts([self.prompts[i] for i in places])

    def prefill(self, model: Any, budget: TokenBudget) -> Iterator[list[PrefilledPrompt]]:
        """See prefill_prompts()."""
        return prefill_prompts(model, self.tree, budget)


@torch.inference_mode()
def prefill_prompts(model: Any, prompt_tree: PromptTree, budget: TokenBudget) -> Iterator[list[PrefilledPrompt]]:
    """Prefills the tree; yields the prompts that each pass completes.

    Those of one group get the same prefix object, copied from the cache when the first of them is ready and kept here until the
    last one is.
    """
    tree = prompt_tree.tree
    open_ends = Counter(prompt_tree.prefix_of(node)[0] for node in prompt_tree.places_by_end)
    prefixes: dict[int, LayerStates] = {}

    def take_prompts(step: PrefillStep) -> list[PrefilledPrompt]:
        prompts = []
        for node, logits in zip(step.nodes.tolist(), step.logits, strict=True):
            group, length = prompt_tree.prefix_of(node)
            if group not in prefixes:
                prefixes[group] = copy_columns(step, own_columns(tree, step.keys, node, 0)[:length])
            states = copy_columns(step, own_columns(tree, step.keys, node, length))
            prompts.append(PrefilledPrompt(prompt_tree.places_by_end[node], prefixes[group], states, logits))
            open_ends[group] -= 1
            if not open_ends[group]:
                del prefixes[group]
        return prompts

    ends = np.array(list(prompt_tree.places_by_end), np.int64)
    yield from filter(None, prefill_tree(model, tree, ends, budget, take_prompts))


def own_columns(tree: PrefixTree, keys: Nodes, node: int, prefix_length: int) -> Nodes:
    """The columns of the cache that `node` sees, behind the first `prefix_length` of its tokens."""
    return np.flatnonzero(tree.ancestor_mask(np.array([node]), keys)[0] & (tree.depth[keys] >= prefix_length))


def copy_columns(step: PrefillStep, columns: Nodes) -> LayerStates:
    """A copy of columns of the cache, for each layer: the cache itself is overwritten by the next step."""
    indices = torch.from_numpy(columns).to(step.logits.device)
    return [(layer.keys[0][:, indices], layer.values[0][:, indices]) for layer in step.cache.layers]
