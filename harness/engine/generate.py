"""Generation for many prompts: a prefix that several share is computed and kept once, and a row that ends makes room.

The prompts are prefilled along their tree.  Each prompt is then decoded as a row: behind the prefix of its group, which is
kept once, it has keys and values of its own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from harness.engine.kv_cache import DecodingBatch, move_along
from harness.engine.memory import TokenBudget, halve_or_raise, return_freed_memory, rows_that_fit
from harness.engine.sequences import DecodingRow, Generation, TokenChooser, TokenPrompt, append_next_tokens, choose_tokens
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
class DecodingRules:
    """At most `max_rows` are decoded together; `end_tokens` end a text; `choose` picks each next token.

    `run`: how they are decoded; None: as DecodingRun does.
    """

    max_rows: int
    end_tokens: frozenset[int]
    choose: TokenChooser = choose_tokens
    run: type[DecodingRun] | None = None


def generate_over_tree(
    model: Any, plan: PlannedPrompts, rules: DecodingRules, budget: TokenBudget
) -> Iterator[tuple[int, Generation]]:
    """The generation for every prompt, as it ends, with its place.

    Where memory runs out, the prompts that have not ended begin again, half as many at once.  That changes no text: a row draws
    its own random numbers from the start.
    """
    open_places, max_rows, current = list(range(len(plan.prompts))), rules.max_rows, plan
    while open_places:
        ended_places: set[int] = set()
        try:
            for at, generation in (rules.run or DecodingRun)(
                model, current, replace(rules, max_rows=max_rows), budget
            ).generations():
                ended_places.add(at)
                yield open_places[at], generation
        except RuntimeError as error:
            max_rows = halve_or_raise(min(max_rows, len(open_places) - len(ended_places)), error)
        open_places = [place for at, place in enumerate(open_places) if at not in ended_places]
        current = PlannedPrompts([plan.prompts[i] for i in open_places]) if open_places else current


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


class DecodingRun:
    """Prompts that are decoded together: prefilled along their tree, as slots are free."""

    def __init__(self, model: Any, plan: PlannedPrompts, rules: DecodingRules, budget: TokenBudget) -> None:
        self.model, self.max_rows, self.choose = model, rules.max_rows, rules.choose
        self.rows = [DecodingRow(p, rules.end_tokens) for p in plan.prompts]
        self.prompt_tree = plan.tree
        self.prefill_steps = prefill_prompts(model, self.prompt_tree, budget)
        self.waiting: deque[tuple[int, PrefilledPrompt]] = deque()
        self.slot_places: list[int] = []  # the prompt in each slot
        self.next_tokens: list[int | torch.Tensor] = []  # what each slot is fed next; a tensor: known on the device alone
        self.batch: DecodingBatch | None = None
        self.all_prefilled = False

    @torch.inference_mode()
    def generations(self) -> Iterator[tuple[int, Generation]]:
        """Every generation with its prompt's place."""
        yield from self.fill_slots()
        return_freed_memory()  # of long passes, before the keys and values of answers grow
        while self.slot_places or not self.all_prefilled:
            if self.slot_places:
                yield from self.advance()
            yield from self.fill_slots()

    def fill_slots(self) -> Iterator[tuple[int, Generation]]:
        """Puts prompts into the free slots; yields those that end with their first token, which need no slot.

        Prompts are prefilled only once an eighth of the slots is free, because a pass for one prompt wastes most of its time.
        """
        worthwhile = not self.slot_places or self.max_rows - len(self.slot_places) >= max(1, self.max_rows // 8)
        while len(self.slot_places) < self.max_rows and (self.waiting or (worthwhile and self.prefill_more())):
            count = min(self.max_rows - len(self.slot_places), len(self.waiting))
            entering = [self.waiting.popleft() for _ in range(count)]
            logits = torch.stack([prompt.logits for _, prompt in entering])
            tokens = append_next_tokens(logits, [self.rows[i] for i, _ in entering], self.choose)
            for (place, prompt), token in zip(entering, tokens.tolist(), strict=True):
                row = self.rows[place]
                if row.finish:
                    yield place, Generation(row.ids, row.finish)
                elif self.batch is not None:
                    self.batch.add_row(prompt.prefix, prompt.states)
                    self.slot_places.append(place)
                    self.next_tokens.append(token)

    def prefill_more(self) -> bool:
        """Prefills the next prompts; False: there are none left."""
        prompts = next(self.prefill_steps, None)
        if prompts is None:
            self.all_prefilled = True
            return False
        if self.batch is None:
            longest = self.prompt_tree.longest_suffix + max(r.prompt.max_tokens for r in self.rows)
            self.max_rows = rows_that_fit(prompts[0].states, longest, self.max_rows)
            self.batch = DecodingBatch(self.model, prompts[0].states, self.max_rows, longest)
        self.waiting.extend((place, prompt) for prompt in prompts for place in prompt.places)
        return True

    def advance(self) -> Iterator[tuple[int, Generation]]:
        """One more token for every row; rows that end leave their slots."""
        assert self.batch is not None
        logits = self.batch.step(self.next_tokens)
        self.next_tokens = append_next_tokens(logits, [self.rows[i] for i in self.slot_places], self.choose).tolist()
        yield from self.leave_slots()

    def leave_slots(self) -> Iterator[tuple[int, Generation]]:
        """Those that have ended, and their slots to others."""
        for slot in reversed(range(len(self.slot_places))):
            place = self.slot_places[slot]
            row = self.rows[place]
            if row.finish and self.batch is not None:
                chain = self.batch.free_slot(slot)
                move_along(chain, self.slot_places)
                move_along(chain, self.next_tokens)
                yield place, Generation(row.ids, row.finish)


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


@torch.inference_mode()
def prefill_prompts(model: Any, prompt_tree: PromptTree, budget: TokenBudget) -> Iterator[list[PrefilledPrompt]]:
    """Prefills the tree; yields the prompts that each pass completes.

    Those of one group get the same prefix object, copied from the cache when the first of them is ready and kept here until the
    last one is.
    """
    tree = prompt_tree.tree
    open_ends = Counter(prompt_tree.prefix_of(node)[0] for node in prompt_tree.places_by_end)
    prefixes: dict[int, LayerStates] = {}
    for step in prefill_tree(model, tree, np.array(list(prompt_tree.places_by_end), np.int64), budget):
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
        if prompts:
            yield prompts


def own_columns(tree: PrefixTree, keys: Nodes, node: int, prefix_length: int) -> Nodes:
    """The columns of the cache that `node` sees, behind the first `prefix_length` of its tokens."""
    return np.flatnonzero(tree.ancestor_mask(np.array([node]), keys)[0] & (tree.depth[keys] >= prefix_length))


def copy_columns(step: PrefillStep, columns: Nodes) -> LayerStates:
    """A copy of columns of the cache, for each layer: the cache itself is overwritten by the next step."""
    indices = torch.from_numpy(columns).to(step.logits.device)
    return [(layer.keys[0][:, indices], layer.values[0][:, indices]) for layer in step.cache.layers]
