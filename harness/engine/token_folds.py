"""Several new tokens of one row as queries of one product with its keys.  B tokens of R rows, at most M of each row.

Heads of a group read the same keys (see shared_prefix_attention.py), and so do the tokens of a row: [B, G, E, d] becomes
[R, G, M E, d].  A row with fewer tokens repeats its last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenFold:
    """`sources`: for each row M places among the tokens [R, M].  `places`: of each token among the R M [B]."""

    sources: Tensor
    places: Tensor

    def queries(self, queries: Tensor) -> Tensor:
        """[B, G, E, d] -> [R, G, M E, d]."""
        rows, most = self.sources.shape
        _, groups, each, width = queries.shape
        by_row = queries[self.sources.flatten()].view(rows, most, groups, each, width)
        return by_row.transpose(1, 2).reshape(rows, groups, most * each, width)

    def mask(self, mask: Tensor, each: int) -> Tensor:
        """[B, 1, 1, S] -> [R, 1, M E, S], with E = `each`."""
        rows, most = self.sources.shape
        by_row = mask[self.sources.flatten()].view(rows, most, 1, -1)
        return by_row.expand(-1, -1, each, -1).reshape(rows, 1, most * each, mask.shape[3])

    def tokens(self, values: Tensor, each: int) -> Tensor:
        """What queries() gave, token by token again: [R, G, M E, ...] -> [B, G, E, ...]."""
        rows, most = self.sources.shape
        by_row = values.reshape(rows, values.shape[1], most, each, *values.shape[3:]).transpose(1, 2).flatten(0, 1)
        return by_row.index_select(0, self.places)


@dataclass(frozen=True)
class OwnBlock:
    """Some tokens of a batch with the keys and values of their rows [R, G, S, d].

    `fold`: of the tokens; None where each is of another row.
    """

    tokens: slice
    keys: Tensor
    values: Tensor
    fold: TokenFold | None = None


def fold_tokens(new_counts: Sequence[int], device: torch.device) -> TokenFold | None:
    """The fold of rows with `new_counts` tokens each, at least one; None where no row has more."""
    most = max(new_counts)
    if most == 1:
        return None
    numbers = torch.tensor(new_counts)
    first, column = numbers.cumsum(0) - numbers, torch.arange(most)
    sources = first[:, None] + column[None].minimum(numbers[:, None] - 1)
    places = (torch.arange(len(new_counts))[:, None] * most + column[None])[column[None] < numbers[:, None]]
    return TokenFold(sources.to(device), places.to(device))
