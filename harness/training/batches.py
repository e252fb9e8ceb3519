"""Which rows make up which step, and token sequences as padded tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from harness.training import parallel
from harness.training.settings import Settings
from harness.training.tokenization import Tokens
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
    most = most or max(1, len(rows))
    ordered = sorted(rows, key=size) if most < len(rows) else rows
    return [ordered[i : i + most] for i in range(0, len(ordered), most)]


def shares(rows: Step, size: Callable[[int], int], most: int) -> list[tuple[Step, float]]:
    """This process's micro-batches of the rows of a step, each with what it counts: 1.

    All processes get equally many, for where a model is divided they pass through it together: one that has fewer computes
    the first row again, which counts 0.
    """
    parts = micro(parallel.mine(rows), size, most)
    longest_share = math.ceil(len(rows) / parallel.size())
    rounds = math.ceil(longest_share / (most or longest_share))
    return [(part, 1.0) for part in parts] + [(rows[:1], 0.0)] * (rounds - len(parts))


@dataclass(frozen=True)
class Batch:
    """Token sequences as tensors.  B rows of T columns hold R answers (one each, or several: `packing`) with N learnt tokens.

    Rows are padded on the right and need no mask for it: a causal model's real tokens never see what is on their right.  A
    "place" is row * T + column.
    """

    ids: Tensor  # [B, T]
    before: Tensor  # [N] place of the token that predicts each learnt token
    targets: Tensor  # [N] the learnt tokens
    owner: Tensor  # [N] which answer each belongs to
    last: Tensor  # [R] place of the last token of each answer
    real: int  # tokens without padding
    positions: Tensor | None = None  # [B, T], where they do not just count the columns
    seen: Tensor | None = None  # [B, 1, T, T] bool, who sees whom, where it is not just the past

    def to(self, device: torch.device) -> Batch:
        def moved(x: Any) -> Any:
            return x.to(device) if isinstance(x, Tensor) else x

        return Batch(**{f.name: moved(getattr(self, f.name)) for f in fields(self)})


def lists() -> tuple[list[int], list[int], list[int], list[int]]:
    return [], [], [], []


def padded(rows: Sequence[Tokens], pad: int) -> Batch:
    """One sequence in a row, an answer each."""
    width = max(len(r) for r in rows)
    before, targets, owner, last = lists()
    for i, row in enumerate(rows):
        base, start = i * width, max(1, row.start)
        before += range(base + start - 1, base + len(row) - 1)
        targets += row.ids[start:]
        owner += [i] * row.learnt
        last.append(base + len(row) - 1)
    ids = [[*r.ids, *[pad] * (width - len(r))] for r in rows]
    t = torch.tensor
    return Batch(t(ids), t(before), t(targets), t(owner), t(last), sum(map(len, rows)))


def longest(row: Both) -> int:
    """The length that a pair takes in a batch."""
    return max(len(row[0]), len(row[1]))
