"""Which rows make up which step, and token sequences as padded tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.trainers.encode import Tokens
from harness.trainers.settings import Settings
from harness.types import digest

Step = list[int]  # places of the rows that one step learns from
Both = tuple[Tokens, Tokens]  # chosen, rejected


def steps(count: int, config: Settings) -> int:
    """How many steps a run over `count` rows takes."""
    return config.max_steps or max(1, math.ceil(epoch(count, config) * config.epochs))


def epoch(count: int, config: Settings) -> int:
    """How many steps see every row once."""
    return max(1, math.ceil(count / config.batch))


def order(count: int, config: Settings, total: int, done: int = 0) -> Iterator[tuple[int, Step]]:
    """Each of `total` steps, from 1, with its rows, but for those already done.

    An epoch is a permutation that depends on (seed, epoch) alone, so a resumed run sees what an undisturbed one does.
    """
    step, turn = 0, 0
    while step < total:
        noise = torch.Generator().manual_seed(int(digest([config.seed, "order", turn], 15), 16))
        rows = torch.randperm(count, generator=noise).tolist() if config.shuffle else list(range(count))
        for start in range(0, count, config.batch):
            step += 1
            if done < step <= total:
                yield step, rows[start : start + config.batch]
        turn += 1


def micro(rows: Step, size: Callable[[int], int], most: int) -> list[Step]:
    """The rows of a step in micro-batches of at most `most` (0: one), similar lengths together: less padding."""
    most = most or len(rows)
    ordered = sorted(rows, key=size) if most < len(rows) else rows
    return [ordered[i : i + most] for i in range(0, len(ordered), most)]


@dataclass(frozen=True)
class Batch:
    """Right-padded sequences.  No attention mask: a causal model's real tokens never see what is on their right."""

    ids: Tensor  # [B, T]
    mask: Tensor  # [B, T] bool, real tokens
    learn: Tensor  # [B, T] bool, tokens of the answer (never the first token: nothing predicts it)

    @property
    def last(self) -> Tensor:
        """The place of the last real token: [B]."""
        return self.mask.sum(1) - 1

    @property
    def targets(self) -> Tensor:
        """The learnt tokens, in the order of rows and places: [N]."""
        return self.ids[self.learn]

    def to(self, device: torch.device) -> Batch:
        return Batch(self.ids.to(device), self.mask.to(device), self.learn.to(device))


def padded(rows: Sequence[Tokens], pad: int) -> Batch:
    """Sequences as one batch, padded on the right to the longest."""
    width = max(len(r) for r in rows)
    ids = torch.tensor([[*r.ids, *[pad] * (width - len(r))] for r in rows])
    places = torch.arange(width)[None]
    lengths, starts = (torch.tensor(x)[:, None] for x in ([len(r) for r in rows], [max(1, r.start) for r in rows]))
    return Batch(ids, places < lengths, (places >= starts) & (places < lengths))


def both(rows: Sequence[Both], pad: int) -> Batch:
    """Pairs as one batch: all chosen answers, then all rejected ones."""
    return padded([r[0] for r in rows] + [r[1] for r in rows], pad)


def longest(row: Both) -> int:
    """The length that a pair takes in a batch."""
    return max(len(row[0]), len(row[1]))
