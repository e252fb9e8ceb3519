"""A batch of rows that are being decoded behind a shared prefix: each has a slot, which the next one takes when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from harness.engine import cascade

States = Sequence[tuple[Tensor, Tensor]]  # for each layer: a row's own keys and values [heads, tokens, d]
STEP = 64  # tokens by which slots grow


class Lengths:
    """How many tokens of its own each row in use has.  A new token is written behind them."""

    def __init__(self) -> None:
        self.used: list[int] = []
        self.places = torch.empty(0, dtype=torch.long)  # `used` on the device, while a token is being computed


class Slots(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer: buffers [slots, heads, tokens, d]."""

    def __init__(self, state: tuple[Tensor, Tensor], rows: int, lengths: Lengths) -> None:
        super().__init__()
        self.lengths, self.is_initialized = lengths, True
        self.dtype, self.device = state[0].dtype, state[0].device
        self.buffers = [s.new_zeros((rows, s.shape[0], 0, s.shape[2])) for s in state]

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Adds one token to every row, [rows, heads, 1, d]; gives the rows in use as far as the longest reaches."""
        rows, widest = len(self.lengths.used), max(self.lengths.used) + 1
        every = torch.arange(rows, device=self.device)
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[every, :, self.lengths.places] = states[:, :, 0]
        self.keys, self.values = (b[:rows, :, :widest] for b in self.buffers)
        return self.keys, self.values

    def reserve(self, tokens: int) -> None:
        """Makes room for so many tokens in a row."""
        have = self.buffers[0].shape[2]
        if tokens > have:
            more = max(tokens - have, STEP)
            self.buffers = [torch.cat([b, b.new_zeros((*b.shape[:2], more, b.shape[3]))], 2) for b in self.buffers]

    def put(self, slot: int, state: tuple[Tensor, Tensor]) -> None:
        for buffer, own in zip(self.buffers, state, strict=True):
            buffer[slot, :, : own.shape[1]] = own

    def move(self, source: int, target: int, tokens: int) -> None:
        for buffer in self.buffers:
            buffer[target, :, :tokens] = buffer[source, :, :tokens]


class Batch:
    """Rows in slots, behind the keys and values that they share."""

    def __init__(self, model: Any, shared: cascade.Shared, rows: int) -> None:
        self.model, self.shared, self.rows = model, shared, rows
        self.lengths = Lengths()
        self.layers = [Slots((k, v), rows, self.lengths) for k, v in shared]
        self.cache = Cache(layers=self.layers)
        self.prefix = int(shared[0][0].shape[1])

    def __len__(self) -> int:
        return len(self.lengths.used)

    def add(self, states: States) -> None:
        """Takes a row into the next slot."""
        tokens = int(states[0][0].shape[1])
        for layer, state in zip(self.layers, states, strict=True):
            layer.reserve(tokens)
            layer.put(len(self), state)
        self.lengths.used.append(tokens)

    def drop(self, slot: int) -> None:
        """Frees a slot: the last row moves there."""
        tokens = self.lengths.used.pop()
        if slot < len(self):
            for layer in self.layers:
                layer.move(len(self), slot, tokens)
            self.lengths.used[slot] = tokens

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Feeds one token to each row; logits [B, V] after it."""
        used, where = self.lengths.used, self.model.device
        for layer in self.layers:
            layer.reserve(max(used) + 1)
        self.lengths.places = places = torch.tensor(used, device=where)
        unseen = torch.arange(max(used) + 1, device=where)[None] > places[:, None]
        mask = torch.zeros(unseen.shape, dtype=self.model.dtype, device=where)
        mask.masked_fill_(unseen, torch.finfo(self.model.dtype).min)
        with cascade.switched(self.model):
            out = self.model(
                input_ids=torch.tensor(tokens, device=where)[:, None],
                position_ids=places[:, None] + self.prefix,
                attention_mask=mask[:, None, None],
                past_key_values=self.cache,
                use_cache=True,
                cascade=self.shared,
            )
        self.lengths.used = [n + 1 for n in used]
        logits: Tensor = out.logits[:, -1]
        return logits
