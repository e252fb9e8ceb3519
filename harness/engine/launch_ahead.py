"""Decoding on a device that computes by itself: a step is launched before the tokens of the last one are read.

Reading a token waits for the device, and a device that waits for the next launch stands still.  So the tokens of a step are fed
to the next one where they are, and read one step later.  A row that ends has been computed one token too far; nobody sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.engine.generate import DecodingRun
from harness.engine.sequences import Generation


@dataclass(frozen=True)
class PendingTokens:
    """The tokens of a step that are being copied from the device, and the prompts that they belong to."""

    tokens: Tensor  # [B]
    places: list[int]  # of the prompts; B of them
    event: Any  # of CUDA, which comes when the copy is complete; None: it is

    def wait(self) -> list[tuple[int, int]]:
        """(place of a prompt, its token) once the copy is complete."""
        if self.event is not None:
            self.event.synchronize()
        return list(zip(self.places, self.tokens.tolist(), strict=True))


def start_copy(tokens: Tensor, places: Sequence[int]) -> PendingTokens:
    """Begins to copy tokens [B] from their device, and does not wait."""
    if tokens.device.type != "cuda":
        return PendingTokens(tokens, list(places), None)
    copy = torch.empty(tokens.shape, dtype=tokens.dtype, pin_memory=True)
    copy.copy_(tokens, non_blocking=True)
    event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(tokens.device))
    return PendingTokens(copy, list(places), event)


class AheadRun(DecodingRun):
    """Prompts that are decoded together, one step ahead of what is known of them."""

    pending: PendingTokens | None = None

    def advance(self) -> Iterator[tuple[int, Generation]]:
        """Launches a step, then reads the tokens of the one before; rows that end with these leave their slots."""
        assert self.batch is not None
        logits = self.batch.step(self.next_tokens)
        tokens = self.choose(logits, [self.rows[place] for place in self.slot_places])
        last_step, self.pending = self.pending, start_copy(tokens, self.slot_places)
        self.next_tokens = list(tokens.unbind())
        for place, token in last_step.wait() if last_step else ():
            if not self.rows[place].finish:
                self.rows[place].append(token)
        yield from self.leave_slots()
