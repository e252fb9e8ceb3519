"""Log-likelihoods over a prefix tree: the same numbers as the plain path's, each shared prefix computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.engine.device import argmax_rows, to_float64
from harness.engine.memory import TokenBudget, halve_or_raise
from harness.engine.plain import LogLikelihood, TokenPair
from harness.engine.tree import Nodes, build_tree
from harness.engine.tree_prefill import PrefillStep, prefill_tree

SCORED_ROWS = {"cpu": 16}  # logits that are scored at once: so many stay in a processor's cache; elsewhere all
Scores = tuple[NDArray[np.float64], NDArray[np.bool_]]  # of the targets: log-probabilities, and is each the likeliest token?


@dataclass(frozen=True)
class Targets:
    """W tokens whose log-probabilities are needed, sorted by the nodes they follow; `owners`: the places of their pairs."""

    nodes: Nodes
    tokens: Nodes
    owners: Nodes


class PairTree:
    """The tree of pairs, and their targets: the same for every model with these tokens.

    A pair's last token is predicted but never fed, so it is not in the tree; its path begins at the last token of its context,
    whose logits predict the continuation's first.
    """

    def __init__(self, pairs: Sequence[TokenPair]) -> None:
        self.tree = build_tree([[*p.context, *p.continuation][:-1] for p in pairs], [len(p.context) - 1 for p in pairs])
        nodes = np.array([n for path in self.tree.paths for n in path], np.int64)
        tokens = np.array([t for p in pairs for t in p.continuation], np.int64)
        owners = np.repeat(np.arange(len(pairs)), [len(p.continuation) for p in pairs])
        order = np.argsort(nodes, kind="stable")  # stable: a pair's targets stay in their order
        self.targets = Targets(nodes[order], tokens[order], owners[order])
        self.target_nodes = np.unique(self.targets.nodes)
        self.target_places: list[list[int]] = [[] for _ in pairs]  # where each pair's targets are in `targets`
        for place, owner in enumerate(self.targets.owners.tolist()):
            self.target_places[owner].append(place)


def loglikelihoods_over_tree(model: Any, pairs: PairTree, budget: TokenBudget) -> Iterator[tuple[int, LogLikelihood]]:
    """The log-likelihood of every continuation with its pair's place, as the pass over the tree completes it."""
    tree, targets = pairs.tree, pairs.targets
    logprobs = np.empty(len(targets.nodes))
    greedy = np.empty(len(targets.nodes), bool)
    pending = iter(tree.order)  # in the order of their last nodes
    place = next(pending, None)

    def score(step: PrefillStep) -> int:
        score_step(step, targets, (logprobs, greedy), budget)
        return int(step.keys[-1])

    for last_node in prefill_tree(model, tree, pairs.target_nodes, budget, score):
        while place is not None and tree.paths[place][-1] <= last_node:
            own = pairs.target_places[place]
            yield place, LogLikelihood(float(logprobs[own].sum()), bool(greedy[own].all()))
            place = next(pending, None)


def score_step(step: PrefillStep, targets: Targets, into: Scores, budget: TokenBudget) -> None:
    """Scores a step, in halves where memory runs out: in float32, a chunk's logits may need more than its forward pass did."""
    try:
        score_logits(step, targets, *into)
    except RuntimeError as error:
        half = halve_or_raise(len(step.nodes), error)
        budget.tokens = max(1, budget.tokens // 2)
        for part in (slice(half), slice(half, None)):
            score_step(replace(step, nodes=step.nodes[part], logits=step.logits[part]), targets, into, budget)


@torch.inference_mode()
def score_logits(step: PrefillStep, targets: Targets, logprobs: NDArray[np.float64], greedy: NDArray[np.bool_]) -> None:
    """Fills in the log-probabilities of a step's targets, and whether each is the likeliest token."""
    size = SCORED_ROWS.get(step.logits.device.type, len(step.nodes) or 1)
    for start in range(0, len(step.nodes), size):
        rows = slice(start, start + size)
        score_targets(step.nodes[rows], step.logits[rows], targets, (logprobs, greedy))


def score_targets(nodes: Nodes, logits: Tensor, targets: Targets, into: Scores) -> None:
    """The same for the logits [W, V] after some nodes [W].

    log p(t) = z_t - lse,  lse = log sum_v exp(z_v - max z) + max z, with the last logarithm in float64.
    """
    low, high = np.searchsorted(targets.nodes, [nodes[0], nodes[-1] + 1])
    row = torch.from_numpy(np.searchsorted(nodes, targets.nodes[low:high])).to(logits.device)
    token = torch.from_numpy(targets.tokens[low:high]).to(logits.device)
    logits = logits.float()
    best_tokens = argmax_rows(logits)
    best = logits.gather(1, best_tokens[:, None])
    target_logits = logits[row, token]
    is_best = (best_tokens[row] == token) & ~target_logits.isnan()
    sums = logits.sub_(best).exp_().sum(1)  # in place: a chunk's logits are its largest tensor
    lse = to_float64(sums).log() + to_float64(best[:, 0])
    logprobs, greedy = into
    logprobs[low:high] = (to_float64(target_logits) - lse[row.to(lse.device)]).cpu().numpy()
    greedy[low:high] = is_best.cpu().numpy()
