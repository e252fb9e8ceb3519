"""A batch of rows that are being decoded behind shared prefixes: each has a slot, which the next one takes when it ends.

Slots lie in blocks, long rows in the first ones: a row's attention reads as far as the longest row of its block reaches.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from harness.engine import shared_prefix_attention
from harness.engine.shared_prefix_attention import Cascade, Shared, States

STEP = 64  # tokens by which slots grow
FIRST = 8  # rows of a new block
SMALL = 1 << 22  # bytes of keys and values, at LIKELY tokens a row, below which it is not worth to read one block more
LIKELY = 128


@dataclass(frozen=True)
class Stretch:
    """The slots of a block that are in use while a token is computed: `rows` of the block, the place that the token takes in
    each, and how many tokens there are to read with it."""

    slots: slice
    rows: Tensor
    places: Tensor
    reach: int


class Lengths:
    """How many tokens of its own each row in use has, in blocks of `size` slots.  A new token is written behind them.

    `most`: tokens that no row will exceed, 0: not known.
    """

    def __init__(self, size: int, most: int = 0) -> None:
        self.size, self.most = size, most
        self.used: list[int] = []
        self.stretches: list[Stretch] = []  # as they were when the last token was begun

    def begin(self, places: Tensor) -> None:
        """Notes where a new token of each row goes; `places`: what is used, on the device."""
        self.stretches = []
        for start in range(0, len(self.used), self.size):
            part = self.used[start : start + self.size]
            slots = slice(start, start + len(part))
            rows = torch.arange(len(part), device=places.device)
            self.stretches.append(Stretch(slots, rows, places[slots], max(part) + 1))

    def chain(self, slot: int) -> list[int]:
        """The slots whose rows move up one by one when `slot` is free: of each later block the longest, then the last."""
        found = [slot]
        while (start := (found[-1] // self.size + 1) * self.size) < len(self.used):
            found.append(max(range(start, min(start + self.size, len(self.used))), key=self.used.__getitem__))
        return found if found[-1] == len(self.used) - 1 else [*found, len(self.used) - 1]


class Slots(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer: for each block two buffers [slots, heads, tokens, d]."""

    def __init__(self, state: tuple[Tensor, Tensor], lengths: Lengths) -> None:
        super().__init__()
        self.lengths, self.is_initialized = lengths, True
        self.dtype, self.device = state[0].dtype, state[0].device
        self.empty = [s.new_zeros((0, s.shape[0], 0, s.shape[2])) for s in state]
        self.keys, self.values = self.empty  # OPT asks how long they are
        self.blocks: list[list[Tensor]] = []

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Adds one token to every row, [rows, heads, 1, d]; the attention reads the blocks itself."""
        for part, block in zip(self.lengths.stretches, self.blocks, strict=False):
            for buffer, states in zip(block, (key_states, value_states), strict=True):
                buffer[part.rows, :, part.places] = states[part.slots, :, 0]
        return key_states, value_states

    def parts(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Of each block the slots in use, their keys and their values, as far as its longest row reaches."""
        for part, (keys, values) in zip(self.lengths.stretches, self.blocks, strict=False):
            rows = len(part.rows)
            yield part.slots, keys[:rows, :, : part.reach], values[:rows, :, : part.reach]

    def reserve(self, block: int, rows: int, tokens: int) -> None:
        """Makes room for so many rows and tokens; zeros, as what no row sees must still be a number."""
        if block == len(self.blocks):
            self.blocks.append(list(self.empty))
        slots, have = self.blocks[block][0].shape[0], self.blocks[block][0].shape[2]
        if rows <= slots and tokens <= have:
            return
        if self.lengths.most and self.device.type == "cpu":
            slots, wide = self.lengths.size, max(tokens, self.lengths.most)  # only what is written to takes memory
        else:
            slots = slots if rows <= slots else min(self.lengths.size, max(rows, FIRST, 2 * slots))
            wide = have if tokens <= have else max(tokens, have + STEP)
        for i, old in enumerate(self.blocks[block]):
            new = zeros(old, (slots, old.shape[1], wide, old.shape[3]))
            new[: old.shape[0], :, :have] = old
            self.blocks[block][i] = new

    def put(self, slot: int, state: Sequence[Tensor]) -> None:
        """Takes keys and values [heads, tokens, d] into a slot."""
        block, row = divmod(slot, self.lengths.size)
        self.reserve(block, row + 1, state[0].shape[1])
        for buffer, own in zip(self.blocks[block], state, strict=True):
            buffer[row, :, : own.shape[1]] = own

    def take(self, slot: int, tokens: int) -> list[Tensor]:
        block, row = divmod(slot, self.lengths.size)
        return [b[row, :, :tokens] for b in self.blocks[block]]


class Batch:
    """Rows in slots, each behind the keys and values of its prefix.  Rows with the same prefix are given the same object.

    At most `rows` at once; `most`: tokens that none will have behind its prefix, 0: not known.
    """

    def __init__(self, model: Any, like: States, rows: int, most: int = 0) -> None:
        self.model = model
        self.configs = shared_prefix_attention.configs(model)
        self.lengths = Lengths(block(like, rows), most)
        self.layers = [Slots(state, self.lengths) for state in like]
        self.cache = Cache(layers=self.layers)
        self.prefixes: list[States] = []  # of each row
        self.shared: list[Shared] | None = None  # which rows share what, as long as no row comes or goes
        self.before = torch.empty(0, dtype=torch.long)  # tokens in each row's prefix

    def __len__(self) -> int:
        return len(self.lengths.used)

    def add(self, prefix: States, states: States) -> None:
        """Takes a row into the next slot."""
        for layer, state in zip(self.layers, states, strict=True):
            layer.put(len(self), state)
        self.lengths.used.append(int(states[0][0].shape[1]))
        self.prefixes.append(prefix)
        self.shared = None

    def drop(self, slot: int) -> list[int]:
        """Frees a slot; gives the chain of slots, from this one to the last, each of whose rows is now in the one before."""
        chain = self.lengths.chain(slot)
        for target, source in pairwise(chain):
            tokens = self.lengths.used[source]
            for layer in self.layers:
                layer.put(target, layer.take(source, tokens))
        for held in (self.lengths.used, self.prefixes):
            follow(chain, held)
        self.shared = None
        return chain

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
        places, widest = torch.tensor(used, device=where), max(used) + 1
        self.lengths.begin(places)
        for number, part in enumerate(self.lengths.stretches):
            for layer in self.layers:
                layer.reserve(number, 0, part.reach)
        self.shared = self.sort() if self.shared is None else self.shared
        unseen = torch.arange(widest, device=where)[None] > places[:, None]
        mask = shared_prefix_attention.hiding(unseen, torch.empty(0, dtype=self.model.dtype, device=where))
        with shared_prefix_attention.switched(self.configs):
            out = self.model(
                input_ids=torch.tensor(tokens, device=where)[:, None],
                position_ids=(places + self.before)[:, None],
                attention_mask=mask[:, None, None],
                past_key_values=self.cache,
                use_cache=True,
                cascade=Cascade(self.shared, self.layers, places),
            )
        self.lengths.used[:] = [n + 1 for n in used]
        logits: Tensor = out.logits[:, -1]
        return logits


def zeros(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros of the type of `like`, on its device.  A processor's are pages that take memory as they are written to."""
    size = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or not size:
        return like.new_zeros(shape)
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise torch.OutOfMemoryError(f"{size} bytes for keys and values of rows that are decoded") from error
    return torch.frombuffer(pages, dtype=like.dtype).view(shape)


def follow(chain: Sequence[int], held: list[Any]) -> None:
    """What is held of each slot moves along a chain of slots; its last one is free."""
    for target, source in pairwise(chain):
        held[target] = held[source]
    held.pop()


def block(like: States, rows: int) -> int:
    """How many slots a block has: on a processor as few as are worth a reading of their own, elsewhere all."""
    if like[0][0].device.type != "cpu":
        return rows
    token = sum(t.shape[0] * t.shape[2] * t.element_size() for t in like[0])
    return min(rows, max(FIRST, SMALL // (LIKELY * token)))
