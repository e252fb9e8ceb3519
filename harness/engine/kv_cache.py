"""Keys and values of rows that are generated behind shared prefixes: a row has a slot, and leaves it to another when it ends.

Slots lie in blocks, long rows in the first ones: a row's attention reads as far as the longest row of its block reaches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from harness.engine import shared_prefix_attention
from harness.engine.device import join_tokens, send_numbers
from harness.engine.memory import forget_values, layer_token_bytes, lazy_zeros
from harness.engine.row_lengths import RowLengths
from harness.engine.shared_prefix_attention import LayerStates, PrefixBatch, SharedPrefix
from harness.engine.token_folds import OwnBlock

GROWTH_TOKENS = 64  # by which slots grow
MIN_BLOCK_ROWS = 8  # rows of a new block
MIN_BLOCK_BYTES = 1 << 22  # of keys and values, at TYPICAL_TOKENS a row: to read a smaller block on its own is not worth it
TYPICAL_TOKENS = 128


class SlotCache(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer: for each block two buffers [slots, heads, tokens, d]."""

    def __init__(self, state: tuple[Tensor, Tensor], lengths: RowLengths) -> None:
        super().__init__()
        self.lengths, self.is_initialized = lengths, True
        self.dtype, self.device = state[0].dtype, state[0].device
        self.empty = [s.new_zeros((0, s.shape[0], 0, s.shape[2])) for s in state]
        self.keys, self.values = self.empty  # OPT asks how long they are
        self.blocks: list[list[Tensor]] = []
        self.is_lazy = bool(lengths.max_tokens) and self.device.type == "cpu"

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Writes the new tokens, [tokens, heads, 1, d]; the attention reads the blocks itself."""
        for active, block in zip(self.lengths.active_blocks, self.blocks, strict=False):
            for buffer, states in zip(block, (key_states, value_states), strict=True):
                buffer[active.rows, :, active.places] = states[active.tokens, :, 0]
        return key_states, value_states

    def active_blocks(self) -> Iterator[OwnBlock]:
        """Of each block the new tokens, and the keys and values of their rows as far as its longest row reaches."""
        for active, buffers in zip(self.lengths.active_blocks, self.blocks, strict=False):
            keys, values = (buffer[: active.row_count, :, : active.read_length] for buffer in buffers)
            yield OwnBlock(active.tokens, keys, values, active.fold)

    def reserve(self, block: int, rows: int, tokens: int) -> None:
        """Makes room for so many rows and tokens in a block.

        New memory is zeros: a masked key has weight 0, but 0 times an uninitialised NaN would be NaN.
        """
        if block == len(self.blocks):
            self.blocks.append(list(self.empty))
        slots, length = self.blocks[block][0].shape[0], self.blocks[block][0].shape[2]
        if rows <= slots and tokens <= length:
            return
        if self.is_lazy:
            # At once as large as it can become: pages that nothing is written to take no memory.
            slots, new_length = self.lengths.block_rows, max(tokens, self.lengths.max_tokens)
        else:
            slots = slots if rows <= slots else min(self.lengths.block_rows, max(rows, MIN_BLOCK_ROWS, 2 * slots))
            new_length = length if tokens <= length else max(tokens, length + GROWTH_TOKENS)
        for i, old in enumerate(self.blocks[block]):
            new = lazy_zeros(old, (slots, old.shape[1], new_length, old.shape[3]))
            new[: old.shape[0], :, :length] = old
            self.blocks[block][i] = new

    def write_slot(self, slot: int, state: Sequence[Tensor]) -> None:
        """Copies keys and values [heads, tokens, d] into a slot."""
        block, row = divmod(slot, self.lengths.block_rows)
        self.reserve(block, row + 1, state[0].shape[1])
        for buffer, own in zip(self.blocks[block], state, strict=True):
            buffer[row, :, : own.shape[1]] = own

    def forget_slot(self, slot: int) -> None:
        """Gives back the memory of a slot whose row is gone."""
        block, row = divmod(slot, self.lengths.block_rows)
        for buffer in self.blocks[block] if self.is_lazy else ():
            forget_values(buffer[row])

    def read_slot(self, slot: int, tokens: int) -> list[Tensor]:
        """Keys and values [heads, tokens, d] of a slot, not copied."""
        block, row = divmod(slot, self.lengths.block_rows)
        return [b[row, :, :tokens] for b in self.blocks[block]]


class DecodingBatch:
    """At most `rows` rows in slots, each behind the keys and values of its prefix.

    Rows with the same prefix must be given the same object.  `max_tokens`: no row will have more behind its prefix; 0: unknown.
    """

    def __init__(self, model: Any, like: LayerStates, rows: int, max_tokens: int = 0) -> None:
        self.model = model
        self.configs = shared_prefix_attention.attention_configs(model)
        self.lengths = RowLengths(rows_per_block(like, rows), max_tokens)
        self.layers = [SlotCache(state, self.lengths) for state in like]
        self.cache = Cache(layers=self.layers)
        self.prefixes: list[LayerStates] = []  # of each row
        self.row_groups: tuple[list[SharedPrefix], Tensor] | None = None  # None: to be computed, since a row came or went

    def __len__(self) -> int:
        return len(self.lengths.counts)

    def add_row(self, prefix: LayerStates, states: LayerStates) -> None:
        """Puts a row into the next slot."""
        for layer, state in zip(self.layers, states, strict=True):
            layer.write_slot(len(self), state)
        self.lengths.counts.append(int(states[0][0].shape[1]))
        self.prefixes.append(prefix)
        self.row_groups = None

    def free_slot(self, slot: int) -> list[int]:
        """Removes a row; returns the chain of slots from this one to the last, each of whose rows is now in the one before."""
        chain = self.lengths.slot_chain(slot)
        for target, source in pairwise(chain):
            tokens = self.lengths.counts[source]
            for layer in self.layers:
                layer.forget_slot(target)
                layer.write_slot(target, layer.read_slot(source, tokens))
        for layer in self.layers:
            layer.forget_slot(chain[-1])
        for values in (self.lengths.counts, self.prefixes):
            move_along(chain, values)
        self.row_groups = None
        return chain

    def add_token(self, slot: int) -> None:
        """A row keeps one more of the tokens that the last step computed for it."""
        self.lengths.counts[slot] += 1

    def group_tokens(self, slots: Sequence[int]) -> tuple[list[SharedPrefix], Tensor]:
        """New tokens, each of the row in one of `slots`, by the prefix of their rows; the lengths of these prefixes [B]."""
        device = self.model.device
        places_by_prefix: dict[int, list[int]] = {}
        for place, slot in enumerate(slots):
            places_by_prefix.setdefault(id(self.prefixes[slot]), []).append(place)
        lengths = torch.tensor([self.prefixes[slot][0][0].shape[1] for slot in slots], device=device)
        if len(places_by_prefix) == 1:
            return [SharedPrefix(None, self.prefixes[0])], lengths
        groups = [
            SharedPrefix(torch.tensor(places, device=device), self.prefixes[slots[places[0]]], places)
            for places in places_by_prefix.values()
        ]
        return groups, lengths

    @torch.inference_mode()
    def step(self, tokens: Sequence[int | Tensor], drafts: Sequence[Sequence[int]] = ()) -> Tensor:
        """Feeds one token to each row, and behind it the row's drafts; returns the logits [B, V] after each of the B tokens.

        Each row keeps its first one; see add_token().
        """
        device = self.model.device
        new_counts = [1 + len(draft) for draft in drafts] or [1] * len(self)
        slots = [slot for slot, n in enumerate(new_counts) for _ in range(n)]
        counts = [self.lengths.counts[slot] + i for slot, n in enumerate(new_counts) for i in range(n)]
        if len(slots) > len(self):
            tokens = [each for token, draft in zip(tokens, drafts, strict=True) for each in (token, *draft)]
            groups, prefix_lengths = self.group_tokens(slots)
        else:
            groups, prefix_lengths = self.row_groups = self.row_groups or self.group_tokens(slots)
        places, widest = send_numbers(counts, device), max(counts) + 1
        self.lengths.begin_tokens(new_counts, places)
        for number, block in enumerate(self.lengths.active_blocks):
            for layer in self.layers:
                layer.reserve(number, 0, block.read_length)
        is_hidden = torch.arange(widest, device=device)[None] > places[:, None]
        mask = shared_prefix_attention.additive_mask(is_hidden, torch.empty(0, dtype=self.model.dtype, device=device))
        with shared_prefix_attention.use_attention(self.configs):
            out = self.model(
                input_ids=join_tokens(tokens, device)[:, None],
                # The cache knows a row's own tokens alone; its position counts those of the prefix too.
                position_ids=(places + prefix_lengths)[:, None],
                attention_mask=mask[:, None, None],
                past_key_values=self.cache,
                use_cache=True,
                prefix_batch=PrefixBatch(groups, self.layers, places, counts),
            )
        for slot in range(len(self)):
            self.add_token(slot)
        logits: Tensor = out.logits[:, -1]
        return logits


def move_along(chain: Sequence[int], values: list[Any]) -> None:
    """Moves one value of each slot along a chain of slots; the last slot is removed."""
    for target, source in pairwise(chain):
        values[target] = values[source]
    values.pop()


def rows_per_block(like: LayerStates, rows: int) -> int:
    """How many slots a block has: on a processor as few as are worth reading on their own, elsewhere all.

    Small blocks let short rows read less; on a GPU, one product over all rows is faster than several small ones.
    """
    if like[0][0].device.type != "cpu":
        return rows
    return min(rows, max(MIN_BLOCK_ROWS, MIN_BLOCK_BYTES // (TYPICAL_TOKENS * layer_token_bytes(like[0]))))
