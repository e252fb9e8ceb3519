"""The floating-point operations of a pass through a model, as a polynomial of the batch's shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.training.batches import Batch


@dataclass(frozen=True)
class FlopRates:
    """Operations of a model on one row of T tokens, linear * T + square * T * T, forward and backward; and of its head."""

    forward: tuple[float, float]  # (linear, square)
    backward: tuple[float, float]
    head: float  # one token through the head, forward
    head_backward: float

    def body_flops(self, batch: Batch, forward: bool = True, backward: bool = False) -> float:
        """Operations of passes over a batch, padding included, without the head."""
        rows, width = batch.ids.shape
        passes = [self.forward] * forward + [self.backward] * backward
        return sum(rows * (linear * width + square * width**2) for linear, square in passes)

    def forward_flops(self, rows: int, width: int) -> float:
        """Operations of a forward pass over so many rows of this many tokens."""
        linear, square = self.forward
        return rows * (linear * width + square * width**2)
