"""Answers of a small policy, whose passes cost little beside what is done around them: one padded pass over all prompts.

Rows that have ended leave the batch at once, and keys and values lie in buffers made to size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


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


def answers(model: Any, prompts: Sequence[Sequence[int]], uniform: Tensor, end: int, temperature: float) -> list[list[int]]:
    """The answers to prompts computed together, with the end token; uniform: [rows, max_new], the random number behind each."""
    most = uniform.shape[1]
    width = max(len(p) for p in prompts)
    where = model.device
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=where)
    lengths = torch.tensor([len(p) for p in prompts], device=where)
    seen = torch.arange(width + most, device=where)[None] >= (width - lengths)[:, None]  # left padding is unseen
    causal = torch.ones(width, width, dtype=torch.bool, device=where).tril()
    places = (torch.arange(width, device=where)[None] - (width - lengths)[:, None]).clamp(min=0)
    layers = [Buffer(width + most) for _ in range(model.config.get_text_config().num_hidden_layers)]
    cache = Cache(layers=layers)
    alive = torch.arange(len(prompts), device=where)
    answers = torch.full((len(prompts), most), -1, device=where)
    # A padding row sees itself only: an empty row of the mask has no softmax.
    mask = (seen[:, None, None, :width] & causal) | torch.eye(width, dtype=torch.bool, device=where)
    uniform = uniform.to(where)
    for t in range(most):
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[:, -1]
        token = draw(logits, uniform[alive, t], temperature)
        answers[alive, t] = token
        going = token != end
        rows = int(going.sum())
        if rows == 0 or t + 1 == most:
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
