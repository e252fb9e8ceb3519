"""Where a model's weights lie: on one device, or, where one GPU is too small, layer by layer over several (accelerate).

A model that is spread is computed where its layers lie; what the engine can share with such a model, its tests say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from harness.engine.device import count_gpus
from harness.types import SkilldeltaError

GIB = 1 << 30
WHOLE_SHARE = 0.9  # of a GPU's free memory that a whole model's weights may fill
SPREAD_SHARE = 0.75  # the same of each of several: the layers' keys and values lie beside them
Budgets = dict[int | str, int]  # device -> bytes for weights


def place_model(model: Any, device: torch.device) -> Any:
    """The model on its device; one that is larger than a GPU over all of them, unless one was named by number.

    Raises SkilldeltaError where its weights do not fit.
    """
    if is_spread(model):
        return model
    if device.type != "cuda":
        return model.to(device)
    elsewhere = weight_bytes(model, device.type)  # of a base that has a new adapter, this one's alone
    budgets = choose_budgets(elsewhere, device, [free_bytes(n) for n in range(count_gpus())])
    return spread_model(model, budgets) if budgets else model.to(device)


def is_spread(model: Any) -> bool:
    """Do its layers lie on several devices?"""
    return any(getattr(part, "hf_device_map", None) for part in model.modules())


def weight_bytes(model: Any, but_on: str = "") -> int:
    """The bytes of all weights, shared ones once, but those that are on a type of device already."""
    weights = (w for w in (*model.parameters(), *model.buffers()) if w.device.type != but_on)
    return sum(w.numel() * w.element_size() for w in weights)


def free_bytes(number: int) -> int:
    """The free memory of a GPU."""
    return int(torch.cuda.mem_get_info(number)[0])


def choose_budgets(size: int, device: torch.device, free: Sequence[int]) -> Budgets:
    """How many bytes of `size` each GPU takes; {}: all go to `device`.  `free`: bytes of each GPU.

    Raises SkilldeltaError where they do not fit.
    """
    candidates = [device.index] if device.index is not None else list(range(len(free)))
    first = candidates[0]
    if size <= WHOLE_SHARE * free[first] or (len(candidates) == 1 and size <= free[first]):
        return {}
    budgets: Budgets = {number: int(SPREAD_SHARE * free[number]) for number in candidates}
    if len(candidates) == 1 or size > sum(budgets.values()):
        where = f"GPU {first} has" if len(candidates) == 1 else f"{len(candidates)} GPUs have together"
        room = free[first] if len(candidates) == 1 else sum(budgets.values())
        raise SkilldeltaError(
            f"The model's weights take {size / GIB:.1f} GiB, and {where} {room / GIB:.1f} GiB for them.\n"
            "Use --dtype bfloat16, more GPUs (name none: a large model is spread over all), a quantised checkpoint, or "
            "--backend vllm with tensor_parallel=N."
        )
    return budgets


def spread_model(model: Any, budgets: Budgets, folder: Path | None = None) -> Any:
    """The model with its layers on the devices of `budgets`, in this order; `folder` holds those of "disk"."""
    import accelerate

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    whole_parts = list(getattr(inner, "_no_split_modules", None) or ())
    places = accelerate.infer_auto_device_map(model, budgets, no_split_module_classes=whole_parts)
    return accelerate.dispatch_model(model, places, offload_dir=folder)
