"""Which of the things to compute go which way: plans that one model after another can use with the same tokenizer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.grouping import group_by

if TYPE_CHECKING:
    from harness.engine.loglikelihood import PairTree
    from harness.engine.plain import TokenPair
    from harness.engine.prompt_prefill import PlannedPrompts
    from harness.engine.sequences import TokenPrompt


@dataclass(frozen=True)
class LogLikelihoodPlan:
    """Pairs by the path that takes them, with their places in the list that was planned."""

    tree_places: list[int]
    tree: PairTree
    plain_places: list[int]
    plain_pairs: list[TokenPair]

    @property
    def size(self) -> int:
        """Tokens that the plan holds, for the limit of the cache of plans."""
        return len(self.tree.tree) + sum(len(p.context) for p in self.plain_pairs)


@dataclass(frozen=True)
class GenerationPlan:
    """Prompts by the path that takes them, with their places in the list that was planned."""

    tree_places: list[int]
    tree: PlannedPrompts
    plain_places: list[int]
    plain_prompts: list[TokenPrompt]
    page_places: list[int] = field(default_factory=list)
    page_prompts: list[TokenPrompt] = field(default_factory=list)

    @property
    def prompts(self) -> list[TokenPrompt]:
        """All prompts, in the order of the paths."""
        return [*self.page_prompts, *self.tree.prompts, *self.plain_prompts]

    @property
    def size(self) -> int:
        """Tokens that the plan holds, for the limit of the cache of plans."""
        return sum(len(p.ids) for p in self.prompts)


def split_places(fits: Sequence[bool]) -> tuple[list[int], list[int]]:
    """The places where it fits, and the others."""
    return [i for i, fit in enumerate(fits) if fit], [i for i, fit in enumerate(fits) if not fit]


def places_by_kind(kinds: Sequence[Hashable]) -> list[list[int]]:
    """The places of each kind, in the order of first appearance."""
    return list(group_by(range(len(kinds)), kinds.__getitem__).values())
