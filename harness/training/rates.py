"""What a pass of a model over a batch costs, as a polynomial of the batch's shape."""

from __future__ import annotations

from dataclasses import dataclass

from harness.training.batches import Batch


@dataclass(frozen=True)
class Rates:
    """Operations of a model on one row of T tokens: linear * T + square * T * T, forward and backward; and of its head."""

    forward: tuple[float, float]
    backward: tuple[float, float]
    head: float  # one token through the head, forward
    head_backward: float

    def body(self, batch: Batch, forward: bool = True, backward: bool = False) -> float:
        """Operations of passes over a batch as it is computed, padding included, without the head."""
        rows, width = batch.ids.shape
        ways = [self.forward] * forward + [self.backward] * backward
        return sum(passed(rows, width, way) for way in ways)

    def rows(self, count: int, width: int) -> float:
        """Operations of a forward pass over so many rows of this many tokens."""
        return passed(count, width, self.forward)


def passed(rows: int, width: int, way: tuple[float, float]) -> float:
    linear, square = way
    return rows * (linear * width + square * width**2)
