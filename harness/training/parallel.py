"""Several processes on one step: each takes a share of the rows, and gradients and logged numbers are added up.

With one process every function here returns its argument.  Models may also be sharded over the processes (torch's FSDP):
then every process has to pass through a model equally often.

The processes are those of `accelerate launch` or `torchrun`, which set RANK and WORLD_SIZE.
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


def join() -> None:
    """Joins the other processes, if this one was started as one of several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def is_writer() -> bool:
    """Is this the process that writes files?"""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def process_count() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def own_share(rows: Sequence[T]) -> list[T]:
    """This process's share of the rows of a step."""
    return list(rows[distributed.get_rank() :: process_count()] if distributed.is_initialized() else rows)


def sum_numbers(*numbers: float) -> list[float]:
    """Each number summed over the processes, in float64."""
    if not distributed.is_initialized():
        return list(numbers)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sums = torch.tensor(numbers, dtype=torch.float64, device=device)
    distributed.all_reduce(sums)
    return [float(x) for x in sums]


def sum_named(numbers: Mapping[str, float]) -> dict[str, float]:
    """Each number summed over the processes, by its name."""
    return dict(zip(numbers, sum_numbers(*numbers.values()), strict=True))


def sum_tensor(part: Tensor) -> Tensor:
    """A tensor summed over the processes.  Where each fills only its own places of zeros, the sum rounds nothing."""
    if distributed.is_initialized():
        distributed.all_reduce(part)
    return part


def gather(own: Mapping[int, T]) -> dict[int, T]:
    """The entries of every process, by their place in the whole, in every process."""
    if not distributed.is_initialized():
        return dict(own)
    every: list[Any] = [None] * process_count()
    distributed.all_gather_object(every, dict(own))
    return {place: value for part in every for place, value in part.items()}


def uses_shards(setting: bool) -> bool:
    """Are models sharded over the processes?  By the setting, or by accelerate's (`accelerate launch --use_fsdp`)."""
    requests_shards = setting or os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")
    return requests_shards and process_count() > 1


def shard_model(model: Any, device: torch.device) -> None:
    """Leaves each process its part of every weight.  FSDP gathers one block at a time, `run_unsharded` the rest."""
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (process_count(),))
    blocks = set(model._no_split_modules or ())
    for module in model.modules():
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)  # parameters are always shards between two passes
    model.run_unsharded = MethodType(lambda self, function, *arguments: function(*arguments), model)
    register_fsdp_forward_method(model, "run_unsharded")


def run_unsharded(model: Any, function: Callable[..., T], *arguments: Any) -> T:
    """`function(*arguments)` while the outer weights of a possibly sharded model are whole."""
    enter: Callable[..., T] | None = getattr(model, "run_unsharded", None)
    return enter(function, *arguments) if enter else function(*arguments)


def gather_full(value: Any) -> Any:
    """A nest of dictionaries with its sharded tensors whole in the writing process, and None in the others."""
    if isinstance(value, dict):
        return {k: gather_full(v) for k, v in value.items()}
    if isinstance(value, DTensor):
        full = value.full_tensor()
        return full.cpu() if is_writer() else None
    return value


def local_shard(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, if `like` is sharded."""
    if isinstance(like, DTensor) and tensor.shape == like.shape:
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor


def barrier() -> None:
    """Waits until every process is here."""
    if distributed.is_initialized():
        distributed.barrier()
