"""Continuations of many prompts: what prompts begin with alike is computed and kept once, and a row that ends makes room."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.engine import cascade
from harness.engine.memory import Budget, halved, total
from harness.engine.rows import Continuation, Ids, Prompt, Row, take
from harness.engine.slots import Batch, States
from harness.engine.sweep import sweep
from harness.engine.tree import Nodes, Tree, grow, shared

FEW = 8  # a group of fewer rows than this is not split off for a longer prefix
LONG = 64  # tokens that a longer prefix must win
MEMORY = 0.2  # of the device's, for the rows' own keys and values


@dataclass(frozen=True)
class Ready:
    """A prompt (at all places where it stands) whose tokens are computed: keys and values that it shares with its group, its
    own behind them, and the logits [V] after it."""

    places: list[int]
    shared: cascade.Shared
    states: States
    logits: torch.Tensor


@dataclass(frozen=True)
class Rules:
    """`rows`: the most that are decoded together.  `ends`: the tokens that end a text."""

    rows: int
    ends: frozenset[int]


def generate(model: Any, prompts: Sequence[Prompt], rules: Rules, budget: Budget) -> Iterator[tuple[int, Continuation]]:
    """The continuation of every prompt, as it ends, with its place in `prompts`.

    Where memory runs out, the prompts of the group that have not ended begin again, half as many at once.
    """
    for group in groups([p.ids for p in prompts]):
        left, rows = group, rules.rows
        while left:
            done: set[int] = set()
            try:
                for at, said in Group(model, [prompts[i] for i in left], Rules(rows, rules.ends), budget).run():
                    done.add(at)
                    yield left[at], said
            except RuntimeError as error:
                rows = halved(rows, error)
            left = [i for at, i in enumerate(left) if at not in done]


def groups(sequences: Sequence[Ids]) -> list[list[int]]:
    """Places of the sequences that are best decoded together, in the order of their tokens.

    A group ends where the next sequence would cut its common prefix to less than half.
    """
    order = sorted(range(len(sequences)), key=lambda i: list(sequences[i]))
    found: list[list[int]] = []
    prefix = 0
    for last, i in zip([None, *order], order, strict=False):
        same = 0 if last is None else min(prefix, shared(sequences[last], sequences[i]))
        full = last is not None and len(found[-1]) >= FEW and prefix - same >= max(LONG, same)
        if last is None or full:
            found.append([])
            same = len(sequences[i])
        found[-1].append(i)
        prefix = same
    return found


class Group:
    """Prompts that are decoded together: prefilled along their tree, slot by slot as slots are free."""

    def __init__(self, model: Any, prompts: Sequence[Prompt], rules: Rules, budget: Budget) -> None:
        self.model, self.prompts, self.limit = model, prompts, rules.rows
        self.rows = [Row(p, rules.ends) for p in prompts]
        self.source = prefill(model, [p.ids for p in prompts], budget)
        self.waiting: deque[tuple[int, Ready]] = deque()
        self.alive: list[int] = []  # the prompt in each slot
        self.tokens: list[int] = []  # what each slot is fed next
        self.batch: Batch | None = None
        self.exhausted = False  # is every prompt prefilled?

    @torch.inference_mode()
    def run(self) -> Iterator[tuple[int, Continuation]]:
        """Every continuation with its prompt's place in the group."""
        while True:
            self.prepare()
            yield from self.fill()
            if self.batch is not None and self.alive:
                yield from self.take(self.batch.step(self.tokens))
            elif self.exhausted:
                return

    def prepare(self) -> None:
        """Prefills more prompts where enough slots are free for it to be worth a pass."""
        while not self.waiting and (not self.alive or self.limit - len(self.alive) >= max(1, self.limit // 8)):
            found = next(self.source, None)
            if found is None:
                self.exhausted = True
                return
            if self.batch is None:
                self.limit = fitting(found.shared, self.prompts, self.limit)
                self.batch = Batch(self.model, found.shared, self.limit)
            self.waiting.extend((i, found) for i in found.places)

    def fill(self) -> Iterator[tuple[int, Continuation]]:
        """Prompts that wait take the free slots; what ends with its first token needs none."""
        while self.waiting and self.batch is not None and len(self.alive) < self.limit:
            place, found = self.waiting.popleft()
            row = self.rows[place]
            token = int(take(found.logits[None], [row])[0])
            if row.finish:
                yield place, Continuation(row.ids, row.finish)
            else:
                self.batch.add(found.states)
                self.alive.append(place)
                self.tokens.append(token)

    def take(self, logits: torch.Tensor) -> Iterator[tuple[int, Continuation]]:
        """Takes every row's next token; rows that end leave their slots."""
        self.tokens = take(logits, [self.rows[i] for i in self.alive]).tolist()
        for slot in reversed(range(len(self.alive))):
            place = self.alive[slot]
            row = self.rows[place]
            if row.finish and self.batch is not None:
                self.batch.drop(slot)
                for held in (self.alive, self.tokens):
                    last = held.pop()
                    if slot < len(held):
                        held[slot] = last
                yield place, Continuation(row.ids, row.finish)


@torch.inference_mode()
def prefill(model: Any, sequences: Sequence[Ids], budget: Budget) -> Iterator[Ready]:
    """Sweeps the tree of the sequences; equal ones are computed once."""
    tree = grow(sequences, [len(s) - 1 for s in sequences])
    prefix = shared(list(sequences[tree.order[0]]), list(sequences[tree.order[-1]]))
    ends: dict[int, list[int]] = {}
    for i in tree.order:
        ends.setdefault(tree.paths[i][0], []).append(i)
    for step in sweep(model, tree, np.array(list(ends), np.int64), budget):
        layers = [(layer.keys[0], layer.values[0]) for layer in step.cache.layers]
        common = [(k[:, :prefix], v[:, :prefix]) for k, v in layers]
        for node, logits in zip(step.nodes.tolist(), step.logits, strict=True):
            columns = torch.from_numpy(own(tree, step.keys, node, prefix)).to(logits.device)
            yield Ready(ends[node], common, [(k[:, columns], v[:, columns]) for k, v in layers], logits)


def own(tree: Tree, keys: Nodes, node: int, prefix: int) -> Nodes:
    """The columns of the cache that `node` sees, behind the prefix."""
    return np.flatnonzero(tree.sees(np.array([node]), keys)[0] & (tree.depth[keys] >= prefix))


def fitting(shared: cascade.Shared, prompts: Sequence[Prompt], most: int) -> int:
    """How many rows' keys and values fit in their part of the memory, each as long as the longest may become."""
    token = sum(t.shape[0] * t.shape[2] * t.element_size() for layer in shared for t in layer)
    longest = max(len(p.ids) + p.max_tokens for p in prompts) - shared[0][0].shape[1]
    return int(max(1, min(most, MEMORY * total(shared[0][0].device) / (token * max(longest, 1)))))
