"""A small model asked by itself alone, one sequence at a time, and an engine's answers held against that."""

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

NEW = 6  # tokens of an answer
NEAR = 1e-4  # logits as near as this tie: rounding says which one is taken


@dataclass(frozen=True)
class Answers:
    """Log-probabilities of the pairs' continuations, and the greedy texts after their contexts."""

    weights: list[float]
    texts: list[list[int]]


@dataclass(frozen=True)
class Distance:
    """Nats, at most, between log-probabilities; how many texts differ, and how many do so where two tokens tie."""

    nats: float
    differing: int
    ties: int

    def __str__(self) -> str:
        return f"{self.nats:.1e} nats, texts that differ: {self.differing}" + f" and {self.ties} by a tie" * bool(self.ties)


def pairs() -> list[TokenPair]:
    """Continuations of contexts that share beginnings, some equal, one a beginning of another, some of a single token."""
    source = random.Random(1)

    def some(n: int) -> list[int]:
        return [source.randrange(3, VOCABULARY) for _ in range(n)]

    stem = some(40)
    kinds = ((40, 0, 3), (40, 2, 1), (40, 0, 1), (30, 3, 4), (12, 1, 2), (0, 1, 2), (0, 5, 3), (38, 4, 2), (40, 0, 3))
    return [TokenPair(stem[:common] + some(own), some(said)) for common, own, said in kinds]


@torch.inference_mode()
def logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """One pass over one sequence, nothing padded, nothing kept: [T, V]."""
    found: torch.Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].double()
    return found


def weight(model: Any, pair: TokenPair) -> float:
    """The continuation's log-probability, by the model alone."""
    told = logits(model, [*pair.context, *pair.continuation][:-1])[len(pair.context) - 1 :].log_softmax(-1)
    return float(told.gather(1, torch.tensor(pair.continuation)[:, None]).sum())


def text(model: Any, ids: Sequence[int]) -> list[int]:
    """The greedy continuation, by the model alone."""
    said: list[int] = []
    while len(said) < NEW and (token := int(logits(model, [*ids, *said])[-1].argmax())) != END:
        said.append(token)
    return said


def alone(model: Any, asked: Sequence[TokenPair]) -> Answers:
    """The model's own answers."""
    return Answers([weight(model, p) for p in asked], [text(model, p.context) for p in asked])


def answers(engine: Engine, asked: Sequence[TokenPair]) -> Answers:
    """The engine's answers."""
    prompts = [TokenPrompt(p.context, NEW, lambda _: False) for p in asked]
    weights = dict(engine.loglikelihoods(engine.plan_pairs(asked)))
    said = dict(engine.generate(engine.plan_prompts(prompts), frozenset([END])))
    return Answers([weights[i].logprob for i in range(len(asked))], [said[i].ids for i in range(len(asked))])


def distance(model: Any, asked: Sequence[TokenPair], found: Answers, known: Answers) -> Distance:
    changes = [abs(f - k) for f, k in zip(found.weights, known.weights, strict=True)]
    texts = zip(asked, found.texts, known.texts, strict=True)
    gaps = [gap(model, [*p.context, *f[: common_prefix_length(f, k)]]) for p, f, k in texts if f != k]
    ties = sum(g < NEAR for g in gaps)
    return Distance(math.nan if any(map(math.isnan, changes)) else max(changes), len(gaps) - ties, ties)


def gap(model: Any, ids: Sequence[int]) -> float:
    """By how much the likeliest next token leads."""
    first, second = logits(model, ids)[-1].topk(2).values.tolist()
    return float(first - second)
