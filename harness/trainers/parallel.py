"""Several processes on one step: each takes its share of the rows, gradients and logged numbers are added up.

Processes are those of `accelerate launch` or `torchrun`: they name themselves in RANK and WORLD_SIZE.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


def started() -> int:
    """How many processes were started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join() -> None:
    """Joins the other processes, if this one was started as one of several."""
    if started() > 1 and not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def first() -> bool:
    """Is this the process that writes?"""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def mine(rows: Sequence[T]) -> list[T]:
    """This process's share of the rows of a step."""
    return list(rows[distributed.get_rank() :: size()] if distributed.is_initialized() else rows)


def added(*numbers: float) -> list[float]:
    """Each number added up over the processes."""
    if not distributed.is_initialized():
        return list(numbers)
    where = "cuda" if torch.cuda.is_available() else "cpu"
    both = torch.tensor(numbers, dtype=torch.float64, device=where)
    distributed.all_reduce(both)
    return [float(x) for x in both]


def wait() -> None:
    """Until every process is here."""
    if distributed.is_initialized():
        distributed.barrier()
