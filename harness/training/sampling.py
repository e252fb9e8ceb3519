"""Answers sampled from a policy while it is trained: token ids in, token ids out.

What is sampled is exactly what is scored later: softmax(logits / T), no top-p, no penalties.  The engine that scores
checkpoints computes the answers; a token is drawn by inverting the cumulative distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harness.engine.engine import Engine, BatchLimits
from harness.engine.packed_linear import temporarily_packed
from harness.engine.sequences import Generation, TokenPrompt, DecodingRow
from harness.training import model_loading, parallel


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.  `seed` and the place of a prompt in the list decide its answer."""

    end: int  # the token that ends an answer
    max_new: int
    temperature: float = 1.0  # 0: the likeliest token
    seed: int = 0
    rows: int = 256  # prompts computed at once


@dataclass(frozen=True)
class Sampled:
    """One answer; `ended` when its last token is the end token."""

    ids: tuple[int, ...]
    ended: bool


# Parameters of a small policy: its passes cost little beside what slots need, so that padded batches are faster.
SMALL = 2_000_000


@torch.no_grad()
def sample(model: nn.Module, prompts: Sequence[Sequence[int]], how: Sampling) -> list[Sampled]:
    """An answer to every prompt, in the order of the prompts.

    Of several processes each computes a share and all get every answer; who computes one does not touch what is drawn.
    """
    noise = torch.Generator().manual_seed(how.seed)
    uniform = torch.rand(len(prompts), how.max_new, generator=noise, dtype=torch.float64)
    places = parallel.mine(sorted(range(len(prompts)), key=lambda i: len(prompts[i])))
    asked = [TokenPrompt(prompts[i], how.max_new, lambda _: False, seed=i) for i in places]

    def choose(logits: Tensor, rows: Sequence[DecodingRow]) -> Tensor:
        drawn = uniform[[r.prompt.seed for r in rows], [len(r.ids) for r in rows]]
        return draw(logits, drawn.to(logits.device), how.temperature)

    policy: Any = model_loading.core(model)
    small = sum(p.numel() for p in policy.parameters()) < SMALL
    mixed = torch.is_autocast_enabled(policy.device.type)
    # Weights that are cast here would be kept without their gradient, and be taken for the next update.
    casts = torch.autocast(policy.device.type, enabled=mixed, cache_enabled=False)
    with casts, nullcontext() if small or mixed else temporarily_packed(policy):
        engine = engine_of(policy, how.rows, "plain" if small else "auto", mixed)
        said = dict(engine.generate(engine.plan_prompts(asked), frozenset([how.end]), choose))
    found = {place: sampled(said[at], how.end) for at, place in enumerate(places)}
    every = parallel.gathered(found)
    return [every[i] for i in range(len(prompts))]


def engine_of(policy: Any, rows: int, wish: Literal["auto", "plain"], mixed: bool) -> Engine:
    """The engine of a policy, kept on it: what the policy can take is tried once, since training moves its weights alone."""
    known: dict[tuple[object, ...], Engine] = vars(policy).setdefault("_engines", {})
    key = (rows, wish, mixed)
    if key not in known:
        known[key] = Engine(policy, BatchLimits(rows, rows), wish)
    return known[key]


def sampled(said: Generation, end: int) -> Sampled:
    ended = said.finish == "stop"
    return Sampled((*said.ids, end) if ended else tuple(said.ids), ended)


def draw(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """One token per row: the first whose cumulative probability passes the uniform number.  [rows, V], [rows] -> [rows]."""
    if temperature == 0:
        return logits.argmax(-1)
    mass = torch.softmax(logits.float() / temperature, dim=-1).cumsum(-1)
    found = torch.searchsorted(mass, (uniform[:, None] * mass[:, -1:]).float(), right=True)[:, 0]
    return found.clamp(max=logits.shape[-1] - 1)
