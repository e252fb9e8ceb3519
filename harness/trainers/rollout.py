"""Answers sampled from a policy while it is trained: token ids in, token ids out.

What is sampled is exactly what is scored later: softmax(logits / T), no top-p, no penalties.  Rows that have ended leave the
batch at once, keys and values lie in buffers made to size, and a token is drawn by inverting the cumulative distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from harness.trainers import nets, parallel


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


class Buffer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer in buffers of a known size, instead of a copy of everything for each token."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.used = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Adds keys and values [rows, heads, tokens, d]; gives all of them so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            shape = (*key_states.shape[:2], self.size, key_states.shape[3])
            self.all = key_states.new_empty(2, *shape)
        start, self.used = self.used, self.used + key_states.shape[2]
        self.all[0][:, :, start : self.used] = key_states
        self.all[1][:, :, start : self.used] = value_states
        self.keys, self.values = self.all[0][:, :, : self.used], self.all[1][:, :, : self.used]
        return self.keys, self.values

    def keep(self, rows: int, into: Tensor, origin: Tensor) -> None:
        """Moves rows `origin` into the places `into`, and keeps the first so many."""
        self.all[:, into, :, : self.used] = self.all[:, origin, :, : self.used]
        self.all = self.all[:, :rows]
        self.keys, self.values = self.all[0][:, :, : self.used], self.all[1][:, :, : self.used]


@torch.no_grad()
def sample(model: nn.Module, prompts: Sequence[Sequence[int]], how: Sampling) -> list[Sampled]:
    """An answer to every prompt, in the order of the prompts; those of similar length are computed together.

    Of several processes each computes a share and all get every answer; who computes one does not touch what is drawn.
    """
    noise = torch.Generator().manual_seed(how.seed)
    uniform = torch.rand(len(prompts), how.max_new, generator=noise, dtype=torch.float64)
    order = parallel.mine(sorted(range(len(prompts)), key=lambda i: len(prompts[i])))
    found: dict[int, Sampled] = {}
    for start in range(0, len(order), how.rows):
        rows = order[start : start + how.rows]
        for i, ids in zip(rows, batch(nets.core(model), [prompts[i] for i in rows], uniform[rows], how), strict=True):
            found[i] = Sampled(tuple(ids), bool(ids) and ids[-1] == how.end)
    every = parallel.gathered(found)
    return [every[i] for i in range(len(prompts))]


def batch(model: Any, prompts: Sequence[Sequence[int]], uniform: Tensor, how: Sampling) -> list[list[int]]:
    """The answers to prompts computed together; uniform: [rows, max_new], the random number behind each token."""
    width = max(len(p) for p in prompts)
    where = model.device
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=where)
    lengths = torch.tensor([len(p) for p in prompts], device=where)
    seen = torch.arange(width + how.max_new, device=where)[None] >= (width - lengths)[:, None]  # left padding is unseen
    causal = torch.ones(width, width, dtype=torch.bool, device=where).tril()
    places = (torch.arange(width, device=where)[None] - (width - lengths)[:, None]).clamp(min=0)
    layers = [Buffer(width + how.max_new) for _ in range(model.config.get_text_config().num_hidden_layers)]
    cache = Cache(layers=layers)
    alive = torch.arange(len(prompts), device=where)
    answers = torch.full((len(prompts), how.max_new), -1, device=where)
    # A padding row sees itself only: an empty row of the mask has no softmax.
    mask = (seen[:, None, None, :width] & causal) | torch.eye(width, dtype=torch.bool, device=where)
    uniform = uniform.to(where)
    for t in range(how.max_new):
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[:, -1]
        token = draw(logits, uniform[alive, t], how.temperature)
        answers[alive, t] = token
        going = token != how.end
        rows = int(going.sum())
        if rows == 0 or t + 1 == how.max_new:
            break
        if rows < len(alive):
            # Rows from the end fill the gaps: what is copied is as much as what has ended, not all that goes on.
            into, origin = (~going[:rows]).nonzero()[:, 0], rows + going[rows:].nonzero()[:, 0]
            for x in (alive, token, seen, places):
                x[into] = x[origin]
            alive, token, seen, places = (x[:rows] for x in (alive, token, seen, places))
            for layer in layers:
                layer.keep(rows, into, origin)
        ids, places = token[:, None], places[:, -1:] + 1
        mask = seen[:, None, None, : width + t + 1]
    return [[i for i in row if i >= 0] for row in answers.tolist()]


def draw(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """One token per row: the first whose cumulative probability passes the uniform number.  [rows, V], [rows] -> [rows]."""
    if temperature == 0:
        return logits.argmax(-1)
    mass = torch.softmax(logits.float() / temperature, dim=-1).cumsum(-1)
    found = torch.searchsorted(mass, (uniform[:, None] * mass[:, -1:]).float(), right=True)[:, 0]
    return found.clamp(max=logits.shape[-1] - 1)
