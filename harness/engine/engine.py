"""What a backend asks of a model: to weigh pairs and to continue prompts, on the fastest path that is right for it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from harness.engine import generate as decode
from harness.engine import loglikelihood, plain, self_test, shared_length
from harness.engine.memory import Budget
from harness.engine.sequences import Choose, Continuation, Prompt, choose

Name = Literal["tree", "plain"]
RUN = {"cpu": 128}  # tokens of a packed row that read the same keys
CHUNK = {"cpu": 512, "cuda": 2048}  # tokens a forward pass: on one core, 64 was 23 % slower and 1,024 10 % slower


@dataclass(frozen=True)
class Weighing:
    """Pairs ready to be weighed, by their places: `packed` ones in a tree, `others` on the plain path."""

    packed: list[int]
    tree: loglikelihood.Plan
    others: list[int]
    pairs: list[plain.Pair]

    @property
    def size(self) -> int:
        return len(self.tree.tree) + sum(len(p.context) for p in self.pairs)


@dataclass(frozen=True)
class Continuing:
    """Prompts ready to be continued, by their places: `packed` ones in a tree, `others` on the plain path."""

    packed: list[int]
    tree: decode.Planned
    others: list[int]
    prompts: list[Prompt]

    @property
    def size(self) -> int:
        return sum(len(p.ids) for p in [*self.tree.prompts, *self.prompts])


@dataclass(frozen=True)
class Limits:
    """`rows`: sequences in a plain batch.  `slots`: sequences that are decoded together behind a shared prefix.  `tokens`: in
    a forward pass, 0: by the device."""

    rows: int
    slots: int
    tokens: int = 0


class Engine:
    """A model with the path that it is to be asked on; `wish` other than auto is taken as it is, untried."""

    def __init__(self, model: Any, limits: Limits, wish: Name | Literal["auto"] = "auto") -> None:
        self.model, self.limits, self.wish = model, limits, wish
        kind = model.device.type
        run = RUN.get(kind, 0) if wish == "auto" else 0
        self.budget = Budget(limits.tokens or CHUNK.get(kind, CHUNK["cuda"]), run)
        # A longer sequence turns all positions of its batch into others.
        self.turn = min(shared_length.turns(model.config.get_text_config()), default=math.inf)

    @cached_property
    def refusal(self) -> str:
        """Why prefixes are not shared; "" where they are."""
        given = {"tree": "", "plain": "as asked for"}
        if self.wish in given:
            return given[self.wish]
        if self.budget.run and not self_test.refusal(self.model, self.budget.run):
            return ""
        self.budget.run = 0
        return self_test.refusal(self.model)

    @cached_property
    def decoding_refusal(self) -> str:
        """Why rows are not decoded behind a shared prefix; "" where they are."""
        return self.refusal or ("" if self.wish == "tree" else self_test.decoding_refusal(self.model, self.budget.run))

    @cached_property
    def reach(self) -> float:
        """The longest sequence that can share prefixes: all of a sliding window's, where its masks go by depth."""
        windows = shared_length.windows(self.model) if self.packs else []
        if windows and self.budget.run and not self_test.window_refusal(self.model, self.budget.run, self.shares):
            windows = []
        return min([shared_length.whole(self.model), *windows])

    @cached_property
    def stepping_refusal(self) -> str:
        """Why each token is computed from the whole text, where rows are decoded plainly; "" where it is not."""
        return self_test.stepping_refusal(self.model)

    @cached_property
    def causal_refusal(self) -> str:
        """Why the model cannot say how likely a text is; "" where it can: a tree that was tried shows none what follows."""
        return "" if self.packs else self_test.causal_refusal(self.model)

    @property
    def packs(self) -> bool:
        """Are sequences weighed over their tree?"""
        return not self.refusal

    @property
    def shares(self) -> bool:
        """Are rows decoded behind a shared prefix?"""
        return not self.decoding_refusal

    @property
    def name(self) -> str:
        """For the results: which path answers."""
        if self.packs:
            return "tree" if self.shares else "tree, decoding plain"
        return "plain"

    @property
    def note(self) -> str:
        """One line where something is not shared, with the reason."""
        if not self.decoding_refusal:
            return ""
        where = "" if self.refusal else " in decoding"
        slow = f"; each token is computed from the whole text: {self.stepping_refusal}" if self.stepping_refusal else ""
        return f"no prefix is shared{where}: {self.decoding_refusal}{slow}"

    def plan_pairs(self, pairs: Sequence[plain.Pair]) -> Weighing:
        """Which pairs are packed into a tree, and that tree."""
        packed = [i for i, p in enumerate(pairs) if self.packs and len(p.context) + len(p.continuation) <= self.reach]
        others = sorted(set(range(len(pairs))) - set(packed))
        return Weighing(packed, loglikelihood.Plan([pairs[i] for i in packed]), others, [pairs[i] for i in others])

    def plan_prompts(self, prompts: Sequence[Prompt]) -> Continuing:
        """Which prompts are decoded behind shared prefixes, and their tree."""
        packed = [i for i, p in enumerate(prompts) if self.shares and len(p.ids) + p.max_tokens <= self.reach]
        others = sorted(set(range(len(prompts))) - set(packed))
        return Continuing(packed, decode.Planned([prompts[i] for i in packed]), others, [prompts[i] for i in others])

    def rows(self, longest: int) -> int:
        """Sequences in a plain batch, the longest of so many tokens."""
        most = self.limits.tokens // longest if self.limits.tokens else self.limits.rows
        return max(1, min(self.limits.rows, most))

    def weigh(self, plan: Weighing) -> Iterator[tuple[int, plain.Weight]]:
        """The log-probability of every continuation, each with its pair's place, as they are ready."""
        for at, found in loglikelihood.weigh(self.model, plan.tree, self.budget):
            yield plan.packed[at], found
        beyond = [len(p.context) + len(p.continuation) - 1 > self.turn for p in plan.pairs]
        for part in apart(beyond):
            pairs = [plan.pairs[i] for i in part]
            rows = self.rows(max(len(p.context) + len(p.continuation) for p in pairs))
            for at, found in plain.weigh(self.model, pairs, rows):
                yield plan.others[part[at]], found

    def generate(self, plan: Continuing, ends: frozenset[int], choose: Choose = choose) -> Iterator[tuple[int, Continuation]]:
        """The continuation of every prompt, each with its place, as they are ready.  `ends`: tokens that end a text."""
        rules = decode.Rules(min(self.limits.slots, self.limits.tokens or self.limits.slots), ends, choose)
        for at, said in decode.generate(self.model, plan.tree, rules, self.budget):
            yield plan.packed[at], said
        lengths = [(len(p.ids), len(p.ids) + p.max_tokens - 1) for p in plan.prompts]  # of what is fed, at first and at last
        for part in apart([(first > self.turn, last > self.turn) for first, last in lengths]):
            crosses = lengths[part[0]][0] <= self.turn < lengths[part[0]][1]
            anew = crosses or self.stepping_refusal
            way = plain.Recomputed if anew else plain.Cached
            rows = 1 if crosses else self.rows(max(lengths[i][0] for i in part))
            for at, said in plain.generate(self.model, [plan.prompts[i] for i in part], ends, rows, way, choose):
                yield plan.others[part[at]], said


def apart(kinds: Sequence[Hashable]) -> list[list[int]]:
    """The places of each kind."""
    found: dict[Hashable, list[int]] = {}
    for place, kind in enumerate(kinds):
        found.setdefault(kind, []).append(place)
    return list(found.values())
