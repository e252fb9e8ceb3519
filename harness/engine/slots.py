"""A batch of rows that are being decoded behind shared prefixes: each has a slot, which the next one takes when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from harness.engine import cascade
from harness.engine.cascade import Shared, States

STEP = 64  # tokens by which slots grow


class Lengths:
    """How many tokens of its own each row in use has.  A new token is written behind them."""

    def __init__(self) -> None:
        self.used: list[int] = []
        self.places = torch.empty(0, dtype=torch.long)  # `used` on the device, while a token is being computed


class Slots(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer: buffers [slots, heads, tokens, d]."""

    def __init__(self, state: tuple[Tensor, Tensor], lengths: Lengths) -> None:
        super().__init__()
        self.lengths, self.is_initialized = lengths, True
        self.dtype, self.device = state[0].dtype, state[0].device
        self.buffers = [s.new_zeros((0, s.shape[0], 0, s.shape[2])) for s in state]

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Adds one token to every row, [rows, heads, 1, d]; gives the rows in use as far as the longest reaches."""
        rows, widest = len(self.lengths.used), max(self.lengths.used) + 1
        every = torch.arange(rows, device=self.device)
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[every, :, self.lengths.places] = states[:, :, 0]
        self.keys, self.values = (b[:rows, :, :widest] for b in self.buffers)
        return self.keys, self.values

    def reserve(self, rows: int, tokens: int) -> None:
        """Makes room for so many rows and tokens; zeros, as what no row sees must still be a number."""
        slots, have = self.buffers[0].shape[0], self.buffers[0].shape[2]
        if rows <= slots and tokens <= have:
            return
        slots, wide = max(slots, rows), have if tokens <= have else max(tokens, have + STEP)
        for i, old in enumerate(self.buffers):
            self.buffers[i] = old.new_zeros((slots, old.shape[1], wide, old.shape[3]))
            self.buffers[i][: old.shape[0], :, :have] = old

    def put(self, slot: int, state: tuple[Tensor, Tensor]) -> None:
        for buffer, own in zip(self.buffers, state, strict=True):
            buffer[slot, :, : own.shape[1]] = own

    def move(self, source: int, target: int, tokens: int) -> None:
        for buffer in self.buffers:
            buffer[target, :, :tokens] = buffer[source, :, :tokens]


class Batch:
    """Rows in slots, each behind the keys and values of its prefix.  Rows with the same prefix are given the same object."""

    def __init__(self, model: Any, like: States, rows: int) -> None:
        self.model, self.rows = model, rows
        self.configs = cascade.configs(model)
        self.lengths = Lengths()
        self.layers = [Slots(state, self.lengths) for state in like]
        self.cache = Cache(layers=self.layers)
        self.prefixes: list[States] = []  # of each row
        self.shared: list[Shared] | None = None  # which rows share what, as long as no row comes or goes
        self.before = torch.empty(0, dtype=torch.long)  # tokens in each row's prefix

    def __len__(self) -> int:
        return len(self.lengths.used)

    def add(self, prefix: States, states: States) -> None:
        """Takes a row into the next slot."""
        tokens = int(states[0][0].shape[1])
        slots = min(self.rows, 2 * len(self)) if len(self) else min(self.rows, 8)
        for layer, state in zip(self.layers, states, strict=True):
            layer.reserve(max(slots, len(self) + 1) if len(self) >= layer.buffers[0].shape[0] else 0, tokens)
            layer.put(len(self), state)
        self.lengths.used.append(tokens)
        self.prefixes.append(prefix)
        self.shared = None

    def drop(self, slot: int) -> None:
        """Frees a slot: the last row moves there."""
        tokens, prefix = self.lengths.used.pop(), self.prefixes.pop()
        if slot < len(self):
            for layer in self.layers:
                layer.move(len(self), slot, tokens)
            self.lengths.used[slot], self.prefixes[slot] = tokens, prefix
        self.shared = None

    def sort(self) -> list[Shared]:
        """Which rows share what."""
        where = self.model.device
        places: dict[int, list[int]] = {}
        for slot, prefix in enumerate(self.prefixes):
            places.setdefault(id(prefix), []).append(slot)
        self.before = torch.tensor([p[0][0].shape[1] for p in self.prefixes], device=where)
        if len(places) == 1:
            return [Shared(None, self.prefixes[0])]
        return [Shared(torch.tensor(slots, device=where), self.prefixes[slots[0]]) for slots in places.values()]

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Feeds one token to each row; logits [B, V] after it."""
        used, where = self.lengths.used, self.model.device
        widest = max(used) + 1
        for layer in self.layers:
            layer.reserve(0, widest)
        self.shared = self.sort() if self.shared is None else self.shared
        self.lengths.places = places = torch.tensor(used, device=where)
        unseen = torch.arange(widest, device=where)[None] > places[:, None]
        mask = torch.zeros(unseen.shape, dtype=self.model.dtype, device=where)
        mask.masked_fill_(unseen, torch.finfo(self.model.dtype).min)
        with cascade.switched(self.configs):
            out = self.model(
                input_ids=torch.tensor(tokens, device=where)[:, None],
                position_ids=(places + self.before)[:, None],
                attention_mask=mask[:, None, None],
                past_key_values=self.cache,
                use_cache=True,
                cascade=self.shared,
            )
        self.lengths.used = [n + 1 for n in used]
        logits: Tensor = out.logits[:, -1]
        return logits
