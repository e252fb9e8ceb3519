"""A small model run by itself alone, one sequence at a time, and an engine's answers compared with that."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.engine.engine import Engine
from harness.engine.plain import TokenPair
from harness.engine.sequences import TokenPrompt
from harness.engine.tree import common_prefix_length
from tests.bench.small import END, VOCABULARY

NEW_TOKENS = 6  # tokens of an answer
TIE = 1e-4  # logits as near as this tie: rounding says which one is taken


@dataclass(frozen=True)
class ModelAnswers:
    """Log-probabilities of the pairs' continuations, and the greedy texts after their contexts."""

    logprobs: list[float]
    texts: list[list[int]]


@dataclass(frozen=True)
class AnswerDistance:
    """Nats, at most, between log-probabilities; how many texts differ, and how many do so where two tokens tie."""

    nats: float
    differing: int
    ties: int

    def __str__(self) -> str:
        return f"{self.nats:.1e} nats, texts that differ: {self.differing}" + f" and {self.ties} by a tie" * bool(self.ties)


def make_pairs() -> list[TokenPair]:
    """Continuations of contexts that share beginnings, some equal, one a beginning of another, some of a single token."""
    source = random.Random(1)

    def random_ids(n: int) -> list[int]:
        return [source.randrange(3, VOCABULARY) for _ in range(n)]

    stem = random_ids(40)
    kinds = ((40, 0, 3), (40, 2, 1), (40, 0, 1), (30, 3, 4), (12, 1, 2), (0, 1, 2), (0, 5, 3), (38, 4, 2), (40, 0, 3))
    return [TokenPair(stem[:common] + random_ids(own), random_ids(length)) for common, own, length in kinds]


@torch.inference_mode()
def forward_alone(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """One pass over one sequence, nothing padded, nothing cached: [T, V]."""
    logits: torch.Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].double()
    return logits


def logprob_alone(model: Any, pair: TokenPair) -> float:
    """The continuation's log-probability, by the model alone."""
    logprobs = forward_alone(model, [*pair.context, *pair.continuation][:-1])[len(pair.context) - 1 :].log_softmax(-1)
    return float(logprobs.gather(1, torch.tensor(pair.continuation)[:, None]).sum())


def text_alone(model: Any, ids: Sequence[int]) -> list[int]:
    """The greedy continuation, by the model alone."""
    new: list[int] = []
    while len(new) < NEW_TOKENS and (token := int(forward_alone(model, [*ids, *new])[-1].argmax())) != END:
        new.append(token)
    return new


def answer_alone(model: Any, token_pairs: Sequence[TokenPair]) -> ModelAnswers:
    """The model's own answers."""
    return ModelAnswers([logprob_alone(model, p) for p in token_pairs], [text_alone(model, p.context) for p in token_pairs])


def answer_by_engine(engine: Engine, token_pairs: Sequence[TokenPair]) -> ModelAnswers:
    """The engine's answers."""
    prompts = [TokenPrompt(p.context, NEW_TOKENS, lambda _: False) for p in token_pairs]
    by_place = dict(engine.loglikelihoods(engine.plan_pairs(token_pairs)))
    generations = dict(engine.generate(engine.plan_prompts(prompts), frozenset([END])))
    return ModelAnswers(
        [by_place[i].logprob for i in range(len(token_pairs))], [generations[i].ids for i in range(len(token_pairs))]
    )


def measure_distance(
    model: Any, token_pairs: Sequence[TokenPair], answers: ModelAnswers, reference: ModelAnswers
) -> AnswerDistance:
    changes = [abs(f - k) for f, k in zip(answers.logprobs, reference.logprobs, strict=True)]
    texts = zip(token_pairs, answers.texts, reference.texts, strict=True)
    gaps = [lead_of_best(model, [*p.context, *f[: common_prefix_length(f, k)]]) for p, f, k in texts if f != k]
    ties = sum(g < TIE for g in gaps)
    return AnswerDistance(math.nan if any(map(math.isnan, changes)) else max(changes), len(gaps) - ties, ties)


def lead_of_best(model: Any, ids: Sequence[int]) -> float:
    """By how much the likeliest next token leads."""
    first, second = forward_alone(model, ids)[-1].topk(2).values.tolist()
    return float(first - second)
