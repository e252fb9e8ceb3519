"""Which device a model runs on, and arithmetic that a device lacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.types import SkilldeltaError
from harness.visible_text import printable


def default_device(name: str = "") -> torch.device:
    """The device called `name` ("cpu", "cuda:1"); without a name the accelerator that torch finds (cuda, mps ...), else cpu.

    SkilldeltaError for a name that is none, and for a device that is not here.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if not name:
        return accelerator or torch.device("cpu")
    shown = printable(repr(name))[:60]
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SkilldeltaError(f"{shown} is no device: write cpu, cuda, cuda:1 or mps, or nothing for the fastest.") from error
    if device.type != "cpu" and not is_here(device, accelerator):
        raise SkilldeltaError(f"There is no device {shown} here; there is: {devices_here(accelerator)}.  Name another.")
    return device


def is_here(device: torch.device, accelerator: torch.device | None) -> bool:
    is_kind = accelerator is not None and device.type == accelerator.type
    return is_kind and (device.index or 0) < torch.accelerator.device_count()


def devices_here(accelerator: torch.device | None) -> str:
    """What --device can name on this machine."""
    count = torch.accelerator.device_count() if accelerator else 0
    return ", ".join(["cpu", *(f"{accelerator.type}:{number}" for number in range(count) if accelerator)])


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


def describe_devices() -> str:
    """What models can run on here, for people."""
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    if (device := default_device()).type != "cpu":
        return device.type
    threads = torch.get_num_threads()
    return f"the processor, {threads} thread{'s' * (threads != 1)}, {torch.backends.cpu.get_cpu_capability()}"


def count_gpus() -> int:
    """CUDA devices, counted without using one: a process that has used one could not be forked."""
    return torch.cuda.device_count()


def share_threads(processes: int) -> None:
    """Leaves this process its share of the processor's threads, where so many compute side by side."""
    torch.set_num_threads(max(1, torch.get_num_threads() // processes))
