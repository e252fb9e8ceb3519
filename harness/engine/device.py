"""Which device a model runs on, and arithmetic that a device lacks."""

from __future__ import annotations

import torch
from torch import Tensor


def default_device(name: str = "") -> torch.device:
    """The device called `name` ("cpu", "cuda:1"); without a name the accelerator that torch finds (cuda, mps ...), else cpu."""
    if name:
        return torch.device(name)
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def to_float64(values: Tensor) -> Tensor:
    """`values` in float64, on their own device where it has that type.  Apple's mps has none: there, on the processor."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def describe_devices() -> str:
    """What models can run on here, for people."""
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    if (device := default_device()).type != "cpu":
        return device.type
    return f"the processor, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def count_gpus() -> int:
    """CUDA devices, counted without using one: a process that has used one could not be forked."""
    return torch.cuda.device_count()


def share_threads(processes: int) -> None:
    """Leaves this process its share of the processor's threads, where so many compute side by side."""
    torch.set_num_threads(max(1, torch.get_num_threads() // processes))
