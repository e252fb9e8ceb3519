"""How many tokens of its own each row of a batch has, and where its new ones go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.engine.device import send_numbers
from harness.engine.token_folds import TokenFold, fold_tokens


@dataclass(frozen=True)
class ActiveBlock:
    """The rows of a block that are in use while tokens are computed, one or more of each.

    `tokens`: theirs among all new ones.  `rows`: in the block, and `places`: in the row, of each of these.  `row_count`: how
    many rows.  `read_length`: the tokens to read with them, so many as the longest row has.  `fold`: None where each row has
    one new token.
    """

    tokens: slice
    rows: Tensor
    places: Tensor
    row_count: int
    read_length: int
    fold: TokenFold | None


class RowLengths:
    """How many tokens of its own each row has, in blocks of `block_rows` slots.  A new token is written behind them.

    `max_tokens`: no row will exceed it; 0: unknown.
    """

    def __init__(self, block_rows: int, max_tokens: int = 0) -> None:
        self.block_rows, self.max_tokens = block_rows, max_tokens
        self.counts: list[int] = []
        self.active_blocks: list[ActiveBlock] = []  # as they were when the last tokens were begun

    def begin_tokens(self, new_counts: Sequence[int], places: Tensor) -> None:
        """Notes where the new tokens go: `new_counts` of each row, and the place of each in its row, on the device."""
        self.active_blocks = []
        first = 0
        for start in range(0, len(self.counts), self.block_rows):
            counts, new = (values[start : start + self.block_rows] for values in (self.counts, new_counts))
            tokens = slice(first, first + sum(new))
            longest = max(count + n for count, n in zip(counts, new, strict=True))
            fold = fold_tokens(new, places.device)
            rows = torch.arange(len(new), device=places.device)  # made there: a GPU would be waited for with a copy
            if fold is not None:
                rows = send_numbers([row for row, n in enumerate(new) for _ in range(n)], places.device)
            self.active_blocks.append(ActiveBlock(tokens, rows, places[tokens], len(new), longest, fold))
            first = tokens.stop

    def slot_chain(self, slot: int) -> list[int]:
        """The slots whose rows move up one by one when `slot` becomes free: the longest of each later block, then the last.

        So long rows gather in the first blocks, and the slots in use stay without gaps.
        """
        chain = [slot]
        while (start := (chain[-1] // self.block_rows + 1) * self.block_rows) < len(self.counts):
            chain.append(max(range(start, min(start + self.block_rows, len(self.counts))), key=self.counts.__getitem__))
        return chain if chain[-1] == len(self.counts) - 1 else [*chain, len(self.counts) - 1]
