"""Devices by their names: which one a user means, and which ones are here."""

from __future__ import annotations

import torch

from harness.types import SkilldeltaError
from harness.visible_text import show_value


def default_device(name: str = "") -> torch.device:
    """The device called `name` ("cpu", "cuda:1"); without a name the accelerator that torch finds (cuda, mps ...), else cpu.

    SkilldeltaError for a name that is none, and for a device that is not here.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if not name:
        return accelerator or torch.device("cpu")
    label = show_value(name)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SkilldeltaError(f"{label} is no device: write cpu, cuda, cuda:1 or mps, or nothing for the fastest.") from error
    if device.type != "cpu" and not is_here(device, accelerator):
        raise SkilldeltaError(f"There is no device {label} here; there is: {devices_here(accelerator)}.  Name another.")
    return device


def is_here(device: torch.device, accelerator: torch.device | None) -> bool:
    is_kind = accelerator is not None and device.type == accelerator.type
    return is_kind and (device.index or 0) < torch.accelerator.device_count()


def devices_here(accelerator: torch.device | None) -> str:
    """What --device can name on this machine."""
    count = torch.accelerator.device_count() if accelerator else 0
    return ", ".join(["cpu", *(f"{accelerator.type}:{number}" for number in range(count) if accelerator)])


def describe_devices() -> str:
    """What models can run on here, for people."""
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    if (device := default_device()).type != "cpu":
        return device.type
    threads = torch.get_num_threads()
    return f"the processor, {threads} thread{'s' * (threads != 1)}, {torch.backends.cpu.get_cpu_capability()}"
