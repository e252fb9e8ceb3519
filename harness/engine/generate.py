"""Continuations of many prompts: what prompts begin with alike is computed and kept once, and a row that ends makes room."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from harness.engine.kv_cache import Batch, follow
from harness.engine.memory import Budget, halved, total
from harness.engine.sequences import Choose, Continuation, Ids, Prompt, Row, choose, take
from harness.engine.shared_prefix_attention import States
from harness.engine.tree import Nodes, Tree, grow, shared
from harness.engine.tree_prefill import Step, sweep

WORTH = 512  # tokens that a prefix of their own must spare rows to read, all together
MEMORY = 0.2  # of the device's, for the rows' own keys and values


@dataclass(frozen=True)
class Ready:
    """A prompt (at all places where it stands) whose tokens are computed: keys and values that it shares with its group, its
    own behind them, and the logits [V] after it."""

    places: list[int]
    prefix: States
    states: States
    logits: torch.Tensor


@dataclass(frozen=True)
class Rules:
    """`rows`: the most that are decoded together.  `ends`: the tokens that end a text.  `choose`: how a next token is."""

    rows: int
    ends: frozenset[int]
    choose: Choose = choose


def generate(model: Any, planned: Planned, rules: Rules, budget: Budget) -> Iterator[tuple[int, Continuation]]:
    """The continuation of every prompt, as it ends, with its place.

    Where memory runs out, the prompts that have not ended begin again, half as many at once.
    """
    left, rows, now = list(range(len(planned.prompts))), rules.rows, planned
    while left:
        done: set[int] = set()
        try:
            for at, said in Run(model, now, replace(rules, rows=rows), budget).answers():
                done.add(at)
                yield left[at], said
        except RuntimeError as error:
            rows = halved(min(rows, len(left) - len(done)), error)
        left = [i for at, i in enumerate(left) if at not in done]
        now = Planned([planned.prompts[i] for i in left]) if left else now


@dataclass(frozen=True)
class Group:
    """Places of the sequences that are decoded behind the same first `tokens`."""

    members: list[int]
    tokens: int


def groups(sequences: Sequence[Ids], order: Sequence[int]) -> list[Group]:
    """The sequences by the prefix that each is best decoded behind; `order`: all places, sorted by the tokens.

    From the whole set downwards: where some begin alike, they become a group if that spares them to read enough tokens of
    their own; those that begin alike with nobody stay behind the prefix of the larger set.
    """
    same = np.array([shared(sequences[a], sequences[b]) for a, b in pairwise(order)], np.int64)
    found: list[Group] = []
    sets: list[tuple[int, int, Group | None]] = [(0, len(order), None)] if order else []
    while sets:
        start, stop, group = sets.pop()
        inner = same[start : stop - 1]
        tokens = int(inner.min()) if len(inner) else len(sequences[order[start]])
        if group is None or (stop - start - 1) * (tokens - group.tokens) >= WORTH:
            group = Group([], tokens)
            found.append(group)
        for a, b in pairwise([start, *(start + 1 + np.flatnonzero(inner == tokens)), stop]):
            if b - a == 1:
                group.members.append(order[a])
            else:
                sets.append((a, b, group))
    return [g for g in found if g.members]


class Run:
    """Prompts that are decoded together: prefilled along their tree, as slots are free."""

    def __init__(self, model: Any, planned: Planned, rules: Rules, budget: Budget) -> None:
        self.model, self.limit, self.choose = model, rules.rows, rules.choose
        self.rows = [Row(p, rules.ends) for p in planned.prompts]
        self.plan = planned.plan
        self.source = prefill(model, self.plan, budget)
        self.waiting: deque[tuple[int, Ready]] = deque()
        self.alive: list[int] = []  # the prompt in each slot
        self.tokens: list[int] = []  # what each slot is fed next
        self.batch: Batch | None = None
        self.exhausted = False  # is every prompt prefilled?

    @torch.inference_mode()
    def answers(self) -> Iterator[tuple[int, Continuation]]:
        """Every continuation with its prompt's place."""
        while True:
            yield from self.fill()
            if self.batch is not None and self.alive:
                yield from self.take(self.batch.step(self.tokens))
            elif self.exhausted:
                return

    def fill(self) -> Iterator[tuple[int, Continuation]]:
        """Takes prompts into the free slots, where enough are free for it to be worth a pass; what ends with its first token
        needs none."""
        worth = not self.alive or self.limit - len(self.alive) >= max(1, self.limit // 8)
        while len(self.alive) < self.limit and (self.waiting or (worth and self.prepare())):
            free = min(self.limit - len(self.alive), len(self.waiting))
            some = [self.waiting.popleft() for _ in range(free)]
            tokens = take(torch.stack([r.logits for _, r in some]), [self.rows[i] for i, _ in some], self.choose)
            for (place, ready), token in zip(some, tokens.tolist(), strict=True):
                row = self.rows[place]
                if row.finish:
                    yield place, Continuation(row.ids, row.finish)
                elif self.batch is not None:
                    self.batch.add(ready.prefix, ready.states)
                    self.alive.append(place)
                    self.tokens.append(token)

    def prepare(self) -> bool:
        """Prefills some more prompts, if there are any."""
        found = next(self.source, None)
        if found is None:
            self.exhausted = True
            return False
        if self.batch is None:
            longest = self.plan.longest + max(r.prompt.max_tokens for r in self.rows)
            self.limit = fitting(found[0].states, longest, self.limit)
            self.batch = Batch(self.model, found[0].states, self.limit, longest)
        self.waiting.extend((i, ready) for ready in found for i in ready.places)
        return True

    def take(self, logits: torch.Tensor) -> Iterator[tuple[int, Continuation]]:
        """Takes every row's next token; rows that end leave their slots."""
        self.tokens = take(logits, [self.rows[i] for i in self.alive], self.choose).tolist()
        for slot in reversed(range(len(self.alive))):
            place = self.alive[slot]
            row = self.rows[place]
            if row.finish and self.batch is not None:
                chain = self.batch.drop(slot)
                follow(chain, self.alive)
                follow(chain, self.tokens)
                yield place, Continuation(row.ids, row.finish)


class Plan:
    """The tree of prompts, and which of them are decoded behind one prefix: the same for every model with these tokens."""

    def __init__(self, sequences: Sequence[Ids]) -> None:
        self.tree = grow(sequences, [len(s) - 1 for s in sequences])
        found = groups(sequences, self.tree.order)
        self.group = {i: number for number, group in enumerate(found) for i in group.members}
        self.tokens = [group.tokens for group in found]
        self.ends: dict[int, list[int]] = {}  # equal sequences end at the same node: they are computed once
        for i in self.tree.order:
            self.ends.setdefault(self.tree.paths[i][0], []).append(i)
        self.longest = max(
            (len(s) - self.tokens[self.group[i]] for i, s in enumerate(sequences)), default=0
        )  # behind its prefix

    def prefix(self, node: int) -> tuple[int, int]:
        """The group of the sequences that end at a node, and the tokens in its prefix."""
        group = self.group[self.ends[node][0]]
        return group, self.tokens[group]


class Planned:
    """Prompts with their plan."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self.prompts = prompts
        self.plan = Plan([p.ids for p in prompts])


@torch.inference_mode()
def prefill(model: Any, plan: Plan, budget: Budget) -> Iterator[list[Ready]]:
    """Sweeps the tree; gives the prompts that a pass completes.  Those of one group get the same prefix, copied from the cache
    when the first of them is ready and held until the last one is."""
    tree = plan.tree
    left = Counter(plan.prefix(node)[0] for node in plan.ends)
    prefixes: dict[int, States] = {}
    for step in sweep(model, tree, np.array(list(plan.ends), np.int64), budget):
        ready = []
        for node, logits in zip(step.nodes.tolist(), step.logits, strict=True):
            group, tokens = plan.prefix(node)
            if group not in prefixes:
                prefixes[group] = states(step, own(tree, step.keys, node, 0)[:tokens])
            ready.append(Ready(plan.ends[node], prefixes[group], states(step, own(tree, step.keys, node, tokens)), logits))
            left[group] -= 1
            if not left[group]:
                del prefixes[group]
        if ready:
            yield ready


def own(tree: Tree, keys: Nodes, node: int, prefix: int) -> Nodes:
    """The columns of the cache that `node` sees, behind the prefix."""
    return np.flatnonzero(tree.sees(np.array([node]), keys)[0] & (tree.depth[keys] >= prefix))


def states(step: Step, columns: Nodes) -> States:
    """A copy of columns of the cache, for each layer."""
    wanted = torch.from_numpy(columns).to(step.logits.device)
    return [(layer.keys[0][:, wanted], layer.values[0][:, wanted]) for layer in step.cache.layers]


def fitting(like: States, longest: int, most: int) -> int:
    """How many rows' keys and values fit in their part of the memory, each of `longest` tokens behind its prefix."""
    token = sum(t.shape[0] * t.shape[2] * t.element_size() for layer in like for t in layer)
    return int(max(1, min(most, MEMORY * total(like[0][0].device) / (token * longest))))
