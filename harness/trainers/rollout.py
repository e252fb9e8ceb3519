"""Answers sampled from a policy while it is trained: token ids in, token ids out.

What is sampled is exactly what is scored later: softmax(logits / T), no top-p, no penalties.  The engine that scores
checkpoints computes the answers, those of a small policy padded batches; a token is drawn by inverting the cumulative
distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from harness.engine.engine import Engine, Limits, Name
from harness.engine.packed import packed
from harness.engine.rows import Prompt, Row
from harness.trainers import nets, padded, parallel


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


# Parameters of a policy that is small: at 0.2 million, batches give 1.3 times the engine's answers, at 18 million 0.65 times.
SMALL = 2_000_000
Way = tuple[Name, int]  # the engine's path, and its budget's run
ways: WeakKeyDictionary[nn.Module, dict[bool, Way]] = WeakKeyDictionary()  # of policies, in full and in mixed precision


@torch.no_grad()
def sample(model: nn.Module, prompts: Sequence[Sequence[int]], how: Sampling) -> list[Sampled]:
    """An answer to every prompt, in the order of the prompts.

    Of several processes each computes a share and all get every answer; who computes one does not touch what is drawn.
    """
    noise = torch.Generator().manual_seed(how.seed)
    uniform = torch.rand(len(prompts), how.max_new, generator=noise, dtype=torch.float64)
    policy: Any = nets.core(model)
    mixed = torch.is_autocast_enabled(policy.device.type)
    places = parallel.mine(sorted(range(len(prompts)), key=lambda i: len(prompts[i])))
    # Weights that are cast here would be kept without their gradient, and be taken for the next update.
    with torch.autocast(policy.device.type, enabled=mixed, cache_enabled=False):
        if sum(p.numel() for p in policy.parameters()) < SMALL and way(policy)[0] == "tree":
            found = in_batches(policy, prompts, places, uniform, how)
        else:
            with nullcontext() if mixed else packed(policy):
                found = by_engine(policy, prompts, places, uniform, how)
    every = parallel.gathered({i: Sampled(tuple(ids), bool(ids) and ids[-1] == how.end) for i, ids in found.items()})
    return [every[i] for i in range(len(prompts))]


Prompts = Sequence[Sequence[int]]


def in_batches(policy: Any, prompts: Prompts, places: Sequence[int], uniform: Tensor, how: Sampling) -> dict[int, list[int]]:
    """This process's share, prompts of similar length together; uniform: [prompts, max_new], the random number behind each
    token."""
    found: dict[int, list[int]] = {}
    for start in range(0, len(places), how.rows):
        rows = list(places[start : start + how.rows])
        asked = [prompts[i] for i in rows]
        found |= zip(rows, padded.answers(policy, asked, uniform[rows], how.end, how.temperature), strict=True)
    return found


def by_engine(policy: Any, prompts: Prompts, places: Sequence[int], uniform: Tensor, how: Sampling) -> dict[int, list[int]]:
    """The same along the prompts' tree, in slots."""
    asked = [Prompt(prompts[i], how.max_new, lambda _: False, seed=i) for i in places]

    def choose(logits: Tensor, rows: Sequence[Row]) -> Tensor:
        drawn = uniform[[r.prompt.seed for r in rows], [len(r.ids) for r in rows]]
        return padded.draw(logits, drawn.to(logits.device), how.temperature)

    name, run = way(policy)
    engine = Engine(policy, Limits(how.rows, how.rows, run=run), name)
    said = dict(engine.generate(engine.plan_prompts(asked), frozenset([how.end]), choose))
    return {place: [*said[at].ids, *[how.end] * (said[at].finish == "stop")] for at, place in enumerate(places)}


def way(policy: nn.Module) -> Way:
    """The engine's path for a policy: tried once, since training moves its weights alone."""
    known = ways.setdefault(policy, {})
    mixed = torch.is_autocast_enabled(next(policy.parameters()).device.type)
    if mixed not in known:
        engine = Engine(policy, Limits(1, 1))
        known[mixed] = ("tree", engine.budget.run) if engine.shares else ("plain", 0)
    return known[mixed]
