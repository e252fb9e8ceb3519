"""Prompts that a policy answers, and its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.training.batches import Tokens

if TYPE_CHECKING:
    from harness.evaluation.questions import Question

NO_WINDOW = 1 << 30  # prompts have their own limit, --max-prompt
StopCheck = Callable[[list[int]], bool]  # is the answer at its end, by a stop string?


def never_ends(_: list[int]) -> bool:
    return False


@dataclass(frozen=True)
class PolicyItem:
    """A prompt as ids, with the question that it asks where a task grades the answer."""

    ids: tuple[int, ...]
    task: str = ""
    question: Question | None = None
    should_stop: StopCheck = never_ends


@dataclass(frozen=True)
class Rollout:
    """The answer of a policy to a prompt."""

    item: PolicyItem
    tokens: Tokens  # the prompt and the answer
    has_end: bool
    logprobs: tuple[float, ...] = ()  # of the answer's tokens under the sampler, where it is not the policy itself
