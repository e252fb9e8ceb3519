"""What rounding does to a model's log-likelihoods: how far plain passes are apart, and how far ours are from them.

Half precision gives other last digits for each composition of a batch, in every program.  So nothing but the model itself can
say how much is too much: its plain passes over the same text, alone, together, and continued with its own cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch

from harness.engine import plain
from harness.engine.plain import TokenPair
from harness.engine.tree import TokenIds

MAX_PAIRS, CONTINUED_TOKENS = 7, 4
# Our root mean square distance from plain passes: so many times theirs from one another, and so many nats a token besides.
# A model that is off in structure would be off by far more, and has failed in float32 before.
ROUNDING_FACTOR, SLACK = 4.0, {torch.float16: 2e-3, torch.bfloat16: 1e-2}
Values = list[float]  # nats a token, of each pair


@dataclass(frozen=True)
class Rounding:
    """Root mean square distances in nats a token: between plain compositions (the largest), and of ours from their mean."""

    plain: float
    ours: float

    def unsupported_reason(self, dtype: torch.dtype, when: str) -> str:
        """Why ours are too far away; "" where they are not."""
        limit = SLACK.get(dtype, 0.0) + ROUNDING_FACTOR * self.plain
        if self.ours <= limit:
            return ""
        return f"its log-probabilities change by {self.ours:.2g} a token {when}, between plain batches by {self.plain:.2g}"


def text_pairs(texts: Sequence[TokenIds]) -> list[TokenPair]:
    """At most MAX_PAIRS pairs along real texts: the next tokens behind beginnings that several share, all different."""
    pairs: dict[tuple[int, ...], TokenPair] = {}
    for cut_share in (1.0, 0.5, 0.75):
        for text in texts:
            cut = int(cut_share * (len(text) - CONTINUED_TOKENS))
            if cut > 0:
                pairs.setdefault(tuple(text[:cut]), TokenPair(text[:cut], text[cut : cut + CONTINUED_TOKENS]))
    return list(pairs.values())[:MAX_PAIRS]


def per_token(values: Sequence[plain.LogLikelihood], pairs: Sequence[TokenPair]) -> Values:
    return [v.logprob / len(p.continuation) for v, p in zip(values, pairs, strict=True)]


def plain_compositions(model: Any, pairs: Sequence[TokenPair], uses_cache: bool) -> list[Values]:
    """The log-likelihoods in several compositions: alone, all in one batch, and continued with the model's cache."""
    compositions = [in_batches(model, pairs, rows) for rows in (1, len(pairs))]
    if uses_cache:
        compositions.append(per_token(continued(model, pairs), pairs))
    return compositions


def in_batches(model: Any, pairs: Sequence[TokenPair], rows: int) -> Values:
    by_place = dict(plain.loglikelihoods_in_batches(model, pairs, rows))
    return per_token([by_place[i] for i in range(len(pairs))], pairs)


@torch.inference_mode()
def continued(model: Any, pairs: Sequence[TokenPair]) -> list[plain.LogLikelihood]:
    """With the model's own cache, one token after another: so a text is decoded.  All continuations are equally long."""
    tokens = torch.tensor([list(p.continuation) for p in pairs], device=model.device)
    batch = plain.CachedBatch(model, [p.context for p in pairs])
    logits = [batch.logits]
    for column in tokens.T[:-1]:
        batch.feed(column)
        logits.append(batch.logits)
    rows = torch.stack(logits, 1)
    return [plain.loglikelihood_of(row, p.continuation) for row, p in zip(rows, pairs, strict=True)]


def measure_rounding(model: Any, pairs: Sequence[TokenPair], ours: Sequence[plain.LogLikelihood]) -> Rounding:
    """How far log-likelihoods of pairs that were computed in another way are from plain batches, and those from each other."""
    return measure_distances([in_batches(model, pairs, rows) for rows in {1, len(pairs)}], per_token(ours, pairs))


def measure_distances(plain_values: Sequence[Values], ours: Values) -> Rounding:
    """The distances."""
    mean = [sum(values) / len(values) for values in zip(*plain_values, strict=True)]
    apart = max((distance(a, b) for a, b in combinations(plain_values, 2)), default=0.0)
    return Rounding(apart, distance(ours, mean))


def distance(some: Values, others: Values) -> float:
    """The root of the mean squared difference; NaN where one is."""
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(some, others, strict=True)) / max(len(some), 1))
