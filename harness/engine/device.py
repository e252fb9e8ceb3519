"""Arithmetic that a device lacks, and what is sent to one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_float64(values: Tensor) -> Tensor:
    """`values` in float64, on their own device where it has that type.  Apple's mps has none: there, on the processor."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def argmax_rows(values: Tensor) -> Tensor:
    """The place of the first largest value of each row, [rows, n] -> [rows]; of a NaN, where a row has one.

    On a processor by numpy: torch's own goes value by value, 13 times as slow in float32 and 25 times in bfloat16.
    """
    if values.device.type != "cpu":
        return values.argmax(1)
    if values.dtype in (torch.bfloat16, torch.float16):  # numpy has not the one, and is slow at the other
        values = values.float()
    return torch.from_numpy(values.detach().numpy().argmax(1))


def send_numbers(numbers: Sequence[float], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers as a tensor on a device.  A GPU is not waited for: a copy from common memory would do that."""
    if device.type != "cuda":
        return torch.tensor(numbers, dtype=dtype, device=device)
    return torch.tensor(numbers, dtype=dtype).pin_memory().to(device, non_blocking=True)


def join_tokens(tokens: Sequence[int | Tensor], device: torch.device) -> Tensor:
    """Tokens, some of which are known on their device alone, as a tensor there [B]."""
    numbers = [token for token in tokens if isinstance(token, int)]
    if len(numbers) == len(tokens):
        return send_numbers(numbers, device)
    numbers_there = iter(send_numbers(numbers, device).unbind()) if numbers else iter(())
    return torch.stack([next(numbers_there) if isinstance(token, int) else token for token in tokens])


def count_gpus() -> int:
    """CUDA devices, counted without using one: a process that has used one could not be forked."""
    return torch.cuda.device_count()


def share_threads(processes: int) -> None:
    """Leaves this process its share of the processor's threads, where so many compute side by side."""
    torch.set_num_threads(max(1, torch.get_num_threads() // processes))
