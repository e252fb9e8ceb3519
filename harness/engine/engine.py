"""What a backend asks of a model: to weigh pairs and to continue prompts, on the fastest path that is right for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from harness.engine import decode, plain, trial, weigh
from harness.engine.memory import Budget
from harness.engine.rows import Continuation, Prompt

Name = Literal["tree", "plain"]
CHUNK = {"cpu": 256, "cuda": 2048}  # tokens a forward pass: on one core, 64 was 23 % slower and 1,024 10 % slower


@dataclass(frozen=True)
class Limits:
    """`rows`: sequences in a plain batch.  `slots`: sequences that are decoded together behind a shared prefix.  `tokens`: tree
    tokens in a forward pass, 0: by the device."""

    rows: int
    slots: int
    tokens: int = 0


class Engine:
    """A model with the path that it is to be asked on; `wish` other than auto is taken as it is, untried."""

    def __init__(self, model: Any, limits: Limits, wish: Name | Literal["auto"] = "auto") -> None:
        self.model, self.limits, self.wish = model, limits, wish
        self.budget = Budget(limits.tokens or CHUNK.get(model.device.type, CHUNK["cuda"]))
        self.reach = trial.reach(model)

    @cached_property
    def refusal(self) -> str:
        """Why prefixes are not shared; "" where they are."""
        given = {"tree": "", "plain": "as asked for"}
        return given[self.wish] if self.wish in given else trial.refusal(self.model)

    @cached_property
    def decoding_refusal(self) -> str:
        """Why rows are not decoded behind a shared prefix; "" where they are."""
        return self.refusal or ("" if self.wish == "tree" else trial.decoding_refusal(self.model))

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
        if self.refusal:
            return f"no prefix is shared: {self.refusal}"
        return f"no prefix is shared in decoding: {self.decoding_refusal}" if self.decoding_refusal else ""

    def weigh(self, pairs: Sequence[plain.Pair]) -> Iterator[tuple[int, plain.Weight]]:
        """The log-probability of every continuation, each with its place in `pairs`, as they are ready."""
        packed = [i for i, p in enumerate(pairs) if self.packs and len(p.context) + len(p.continuation) <= self.reach]
        for at, found in weigh.weigh(self.model, [pairs[i] for i in packed], self.budget):
            yield packed[at], found
        others = sorted(set(range(len(pairs))) - set(packed))
        for at, found in plain.weigh(self.model, [pairs[i] for i in others], self.limits.rows):
            yield others[at], found

    def generate(self, prompts: Sequence[Prompt], ends: frozenset[int]) -> Iterator[tuple[int, Continuation]]:
        """The continuation of every prompt, each with its place in `prompts`, as they are ready."""
        packed = [i for i, p in enumerate(prompts) if self.shares and len(p.ids) + p.max_tokens <= self.reach]
        rules = decode.Rules(self.limits.slots, ends)
        for at, said in decode.generate(self.model, [prompts[i] for i in packed], rules, self.budget):
            yield packed[at], said
        others = sorted(set(range(len(prompts))) - set(packed))
        for at, said in plain.generate(self.model, [prompts[i] for i in others], ends, self.limits.rows):
            yield others[at], said
