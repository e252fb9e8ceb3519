"""Log-probabilities of continuations over a prefix tree: the same numbers as the plain path's, each prefix computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.engine.memory import Budget, halved
from harness.engine.plain import Pair, Weight
from harness.engine.tree import Nodes, grow
from harness.engine.tree_prefill import Step, sweep


@dataclass(frozen=True)
class Wants:
    """W targets, sorted by the nodes after which they stand; `owner`: the place of the pair that each belongs to."""

    nodes: Nodes
    targets: Nodes
    owner: Nodes


class Plan:
    """The tree of pairs, and what is wanted of it: the same for every model with these tokens."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.tree = grow([[*p.context, *p.continuation][:-1] for p in pairs], [len(p.context) - 1 for p in pairs])
        self.wants = gather(pairs, self.tree.paths)
        self.nodes = np.unique(self.wants.nodes)
        self.places: list[list[int]] = [[] for _ in pairs]  # where each pair's targets are among the wanted
        for place, owner in enumerate(self.wants.owner.tolist()):
            self.places[owner].append(place)


def weigh(model: Any, plan: Plan, budget: Budget) -> Iterator[tuple[int, Weight]]:
    """The log-probability of every continuation, as the tree is swept, each with its pair's place."""
    tree, wants = plan.tree, plan.wants
    found = np.empty(len(wants.nodes))
    hits = np.empty(len(wants.nodes), bool)
    waiting = iter(tree.order)
    pair = next(waiting, None)
    for step in sweep(model, tree, plan.nodes, budget):
        fill(step, wants, (found, hits), budget)
        while pair is not None and tree.paths[pair][-1] <= step.keys[-1]:
            mine = plan.places[pair]
            yield pair, Weight(float(found[mine].sum()), bool(hits[mine].all()))
            pair = next(waiting, None)


def fill(step: Step, wants: Wants, into: tuple[NDArray[np.float64], NDArray[np.bool_]], budget: Budget) -> None:
    """Scores a step, in halves where memory runs out: in float32, a chunk's logits may need more than its forward pass did."""
    try:
        score(step, wants, *into)
    except RuntimeError as error:
        half = halved(len(step.nodes), error)
        budget.tokens = max(1, budget.tokens // 2)
        for part in (slice(half), slice(half, None)):
            fill(replace(step, nodes=step.nodes[part], logits=step.logits[part]), wants, into, budget)


def gather(pairs: Sequence[Pair], paths: Sequence[Sequence[int]]) -> Wants:
    """Every target of every pair.  The sort is stable: a pair's targets stay in their order."""
    nodes = np.array([n for path in paths for n in path], np.int64)
    targets = np.array([t for p in pairs for t in p.continuation], np.int64)
    owner = np.repeat(np.arange(len(pairs)), [len(p.continuation) for p in pairs])
    order = np.argsort(nodes, kind="stable")
    return Wants(nodes[order], targets[order], owner[order])


@torch.inference_mode()
def score(step: Step, wants: Wants, found: NDArray[np.float64], hits: NDArray[np.bool_]) -> None:
    """Fills in what the step tells: log-probabilities, and whether a target is the likeliest token."""
    if not len(step.nodes):
        return
    low, high = np.searchsorted(wants.nodes, [step.nodes[0], step.nodes[-1] + 1])
    row = torch.from_numpy(np.searchsorted(step.nodes, wants.nodes[low:high])).to(step.logits.device)
    target = torch.from_numpy(wants.targets[low:high]).to(step.logits.device)
    logits = step.logits.float()
    chosen, best = logits[row, target], logits.amax(1)
    greedy = chosen == best[row]
    # Of several likeliest tokens the first one counts: looked for only where a target is one of them.
    greedy[greedy.clone()] = logits[row[greedy]].argmax(1) == target[greedy]
    mass = logits.sub_(best[:, None]).exp_().sum(1).double().log() + best  # in place: a chunk's logits are its largest tensor
    found[low:high] = (chosen.double() - mass[row]).cpu().numpy()
    hits[low:high] = greedy.cpu().numpy()
