"""The rows of each step, and token sequences as padded tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.training import parallel
from harness.types import digest

if TYPE_CHECKING:
    from harness.training.settings import TrainerSettings


@dataclass(frozen=True)
class Tokens:
    """Token ids; those from `start` on are the targets to learn."""

    ids: tuple[int, ...]
    start: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def target_count(self) -> int:
        """The number of targets; the first token is never one, because nothing predicts it."""
        return len(self.ids) - max(1, self.start)


PairTokens = tuple[Tokens, Tokens]  # chosen, rejected


def step_count(rows: int, config: TrainerSettings) -> int:
    """The number of steps of a run over so many rows."""
    return config.max_steps or max(1, math.ceil(steps_per_epoch(rows, config) * config.epochs))


def steps_per_epoch(rows: int, config: TrainerSettings) -> int:
    """The number of steps that visit every row once."""
    return max(1, math.ceil(rows / config.batch))


def derive_seed(seed: int, purpose: str, number: int) -> int:
    """The seed of one step or epoch for one purpose, from the run's: any can be had without those before it."""
    return int(digest([seed, purpose, number], 15), 16)


def iterate_steps(rows: int, config: TrainerSettings, total: int, first: int = 1) -> Iterator[tuple[int, list[int]]]:
    """(step, indices of its rows) for the steps from `first` to `total`.

    The order of an epoch follows from (seed, epoch) alone, never from a generator that earlier steps have moved.  A resumed
    run can therefore start anywhere and still visits the rows of an uninterrupted one.
    """
    step, epoch = 0, 0
    while step < total:
        generator = torch.Generator().manual_seed(derive_seed(config.seed, "order", epoch))
        order = torch.randperm(rows, generator=generator).tolist() if config.shuffle else list(range(rows))
        for start in range(0, rows, config.batch):
            step += 1
            if first <= step <= total:
                yield step, order[start : start + config.batch]
        epoch += 1


def micro_batches(indices: list[int], length: Callable[[int], int], limit: int) -> list[list[int]]:
    """`indices` in parts of at most `limit` rows (0: one part), similar lengths together, so that there is less padding."""
    limit = limit or max(1, len(indices))
    order = sorted(indices, key=length) if limit < len(indices) else indices
    return [order[i : i + limit] for i in range(0, len(order), limit)]


def weighted_micro_batches(indices: list[int], length: Callable[[int], int], limit: int) -> list[tuple[list[int], float]]:
    """This process's micro-batches of a step, each with its weight 1.

    Sharded processes pass through a model together, so that all need equally many micro-batches.  A process with fewer
    computes the first row again, with weight 0.
    """
    parts = micro_batches(parallel.own_share(indices), length, limit)
    largest_share = math.ceil(len(indices) / parallel.process_count())
    rounds = math.ceil(largest_share / (limit or largest_share))
    return [(part, 1.0) for part in parts] + [(indices[:1], 0.0)] * (rounds - len(parts))


def add_means(means: Mapping[str, float], figures: Mapping[str, Tensor], weight: float, count: int) -> dict[str, float]:
    """Means over `count` rows, with the share of one micro-batch of that weight, whose `figures` are [rows of it] each."""
    return {k: means.get(k, 0.0) + weight * v.detach().sum().item() / count for k, v in figures.items()}


@dataclass(frozen=True)
class Batch:
    """Token sequences as tensors: B rows of T columns hold R answers with N target tokens (the tokens to learn).

    A row holds one answer, or several (`packing`).  Padding is on the right and needs no mask: a causal model's real tokens
    never see the tokens on their right.  A place is row * T + column.
    """

    ids: Tensor  # [B, T]
    predictors: Tensor  # [N] place of the token before each target, whose hidden state predicts it
    targets: Tensor  # [N] token ids
    answers: Tensor  # [N] index of the answer that each target belongs to
    last_places: Tensor  # [R] place of the last token of each answer
    token_count: int  # without padding
    positions: Tensor | None = None  # [B, T]; None: the column numbers
    visible: Tensor | None = None  # [B, 1, T, T] bool, query x key; None: causal

    def to(self, device: torch.device) -> Batch:
        values: dict[str, Any] = {k: x.to(device) if isinstance(x, Tensor) else x for k, x in vars(self).items()}
        return Batch(**values)


def pad_rows(rows: Sequence[Tokens], pad: int) -> Batch:
    """One sequence a row, which is one answer."""
    width = max(len(r) for r in rows)
    predictors, targets, answers = (list[int]() for _ in range(3))
    for i, row in enumerate(rows):
        base, start = i * width, max(1, row.start)
        predictors += range(base + start - 1, base + len(row) - 1)
        targets += row.ids[start:]
        answers += [i] * row.target_count
    ids = [[*r.ids, *[pad] * (width - len(r))] for r in rows]
    last = [i * width + len(row) - 1 for i, row in enumerate(rows)]
    t = torch.tensor
    return Batch(t(ids), t(predictors), t(targets), t(answers), t(last), sum(map(len, rows)))


def pair_length(pair: PairTokens) -> int:
    """The columns that a pair needs in a batch."""
    return max(len(pair[0]), len(pair[1]))
