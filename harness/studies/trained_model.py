"""A model that a study trained: its recipe, its seed, its place in the results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field

NOT_APPLICABLE = "-"  # the value of a label that does not apply
LABEL_ORDER = ("method", "data", "size", "base", "reward", "reward_data", "prompts")  # as recipes are described
REWARD_LABELS = ("reward", "reward_data", "size")  # with the seed they tell a policy's reward model
Column = tuple[str, str]  # what a hypothesis measures: (kind of value, task)


def sort_labels(labels: Iterable[str]) -> list[str]:
    """In the order in which recipes are described; others come last, by name."""
    return sorted(labels, key=lambda label: (LABEL_ORDER.index(label) if label in LABEL_ORDER else len(LABEL_ORDER), label))


class NotInStudy(Exception):  # noqa: N818  an answer, not a fault
    """A hypothesis is about something that this study has not; says what."""


@dataclass(frozen=True)
class RewardAccuracy:
    """How often a reward model puts the right answer above the wrong one, on held-out pairs."""

    share: Annotated[float, Field(ge=0, le=1)]
    n: Annotated[int, Field(gt=0)]


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A policy or a reward model.  `checkpoint`: its name in its results, which for a reward model are those of best of n."""

    checkpoint: str
    run: str
    labels: dict[str, str]
    seed: int
    accuracy: RewardAccuracy | None = None  # of a reward model

    @cached_property
    def recipe(self) -> tuple[tuple[str, str], ...]:
        """The labels as a key: models that are alike in it differ by their seed alone."""
        return tuple(sorted(self.labels.items()))

    @property
    def description(self) -> str:
        """The recipe in words: the method, then what applies; a reward model's data only where they are not the policy's."""
        labels = {k: v for k, v in self.labels.items() if v != NOT_APPLICABLE}
        if labels.get("reward_data") == labels.get("data"):
            labels.pop("reward_data", None)
        words = {k: labels[k] if k == "method" else f"{k.replace('_', ' ')} {labels[k]}" for k in sort_labels(labels)}
        return ", ".join(words.values())

    @property
    def reward_key(self) -> tuple[str, ...]:
        """Tells the reward model that a policy was tuned with; () where there is none."""
        if self.labels.get("reward", NOT_APPLICABLE) == NOT_APPLICABLE:
            return ()
        return (*(self.labels.get(label, NOT_APPLICABLE) for label in REWARD_LABELS), str(self.seed))

    @property
    def is_start(self) -> bool:
        """Is this a model that the others began from?"""
        return self.labels.get("method") == "sft"
