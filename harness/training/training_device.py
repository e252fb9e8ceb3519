"""Where a model is trained, and in which numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from harness.engine.device_names import default_device
from harness.training.settings import TrainerSettings


def training_device(config: TrainerSettings) -> torch.device:
    """The device of the settings, or the accelerator if there is one."""
    return default_device(config.device)


def autocast(config: TrainerSettings) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 if the settings ask for it."""
    is_bfloat16 = config.dtype == "bfloat16"
    return torch.autocast(training_device(config).type, torch.bfloat16) if is_bfloat16 else nullcontext()
