"""Where a model is trained, and in which numbers."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from harness.engine.device_names import default_device
from harness.engine.upcast_linear import multiplies_natively
from harness.training.settings import TrainerSettings

LOG = logging.getLogger("skilldelta")


def training_device(config: TrainerSettings) -> torch.device:
    """The device of the settings, or the accelerator if there is one."""
    return default_device(config.device)


def autocast(config: TrainerSettings) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 if the settings ask for it."""
    is_bfloat16 = config.dtype == "bfloat16"
    return torch.autocast(training_device(config).type, torch.bfloat16) if is_bfloat16 else nullcontext()


def warn_of_slow_type(config: TrainerSettings) -> None:
    """Says where the settings ask for bfloat16 of a processor that has no instructions for it."""
    if config.dtype == "bfloat16" and training_device(config).type == "cpu" and not multiplies_natively(torch.bfloat16):
        LOG.warning(
            "This processor has no instructions for bfloat16, and emulates them slowly: --dtype float32 is faster here."
        )
