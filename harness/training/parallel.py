"""Several processes on one step: each takes its share of the rows, gradients and logged numbers are added up.

With one process every function here gives back what it was given.  Models may also be divided among the processes
(torch's FSDP): every process then has to pass through a model as often as the others.

Processes are those of `accelerate launch` or `torchrun`: they name themselves in RANK and WORLD_SIZE.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

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


def summed(part: Tensor) -> Tensor:
    """A tensor added up over the processes.  Where each has filled in its own places of zeros, nothing is rounded."""
    if distributed.is_initialized():
        distributed.all_reduce(part)
    return part


def gathered(mine: Mapping[int, T]) -> dict[int, T]:
    """What each process has found, by its place in the whole, from all of them."""
    if not distributed.is_initialized():
        return dict(mine)
    every: list[Any] = [None] * size()
    distributed.all_gather_object(every, dict(mine))
    return {place: found for part in every for place, found in part.items()}


def divides(wanted: bool) -> bool:
    """Are models divided among the processes?  By the setting, or by accelerate's (`accelerate launch --use_fsdp`)."""
    asked = wanted or os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")
    return asked and size() > 1


def divide(model: Any, where: torch.device) -> None:
    """Leaves each process its part of every weight.  Blocks are made whole one at a time, the rest by `inside`."""
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(where.type, (size(),))
    blocks = set(model._no_split_modules or ())
    for module in model.modules():
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)  # so that its parameters are always parts between two passes
    model.inside = MethodType(lambda self, function, *given: function(*given), model)
    register_fsdp_forward_method(model, "inside")


def inside(model: Any, function: Callable[..., T], *given: Any) -> T:
    """A computation with the weights of a model that may be divided."""
    enter: Callable[..., T] | None = getattr(model, "inside", None)
    return enter(function, *given) if enter else function(*given)


def is_divided(tensor: object) -> bool:
    """Is this one process's part of a tensor?"""
    return isinstance(tensor, DTensor)


def whole(value: Any) -> Any:
    """A nest of dictionaries with the tensors that are divided made whole: for the first process, the others get nothing."""
    if isinstance(value, dict):
        return {k: whole(v) for k, v in value.items()}
    if isinstance(value, DTensor):
        found = value.full_tensor()
        return found.cpu() if first() else None
    return value


def parted(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, if that is how `like` is divided."""
    if isinstance(like, DTensor) and tensor.shape == like.shape:
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor


def wait() -> None:
    """Until every process is here."""
    if distributed.is_initialized():
        distributed.barrier()
