"""The change of the weights: AdamW, warm-up and linear decay, clipping, and the refusal to go on from a number that is none."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from harness.training import parallel
from harness.training.settings import Settings
from harness.types import SkilldeltaError


def share_of_rate(step: int, total: int, warmup: int, end: float) -> float:
    """The learning rate of a step (from 0) as a share: up from 0 over `warmup` steps, then linearly down to `end`."""
    if step < warmup:
        return step / warmup
    return end + (1 - end) * max(0.0, (total - step) / max(1, total - warmup))


class Updater:
    """An optimiser with its schedule.  `apply` is one step from the gradients that are there."""

    def __init__(self, parameters: Iterable[nn.Parameter], config: Settings, total: int, lr: float | None = None) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.clip = config.clip
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.lr if lr is None else lr,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            weight_decay=config.weight_decay,
            fused=True,
        )
        warmup = math.ceil(total * config.warmup)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: share_of_rate(step, total, warmup, config.lr_end)
        )

    @property
    def lr(self) -> float:
        """The rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def apply(self, loss: float, step: int) -> float:
        """Changes the weights; gives the norm of the gradient before clipping.

        Among several processes the gradients are added up: each has divided its part of the loss by the whole batch's count.
        """
        if distributed.is_initialized():
            for p in self.parameters:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
                if parallel.is_divided(p):
                    p.grad.mul_(parallel.size())  # FSDP has taken the mean already
                else:
                    distributed.all_reduce(p.grad)
        found = nn.utils.clip_grad_norm_(self.parameters, self.clip or math.inf)
        norm = float(found.full_tensor() if isinstance(found, DTensor) else found)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise SkilldeltaError(
                f"At step {step} the loss is {loss} and the norm of the gradient {norm}: nothing was changed.  "
                "A lower --lr, a longer --warmup or --dtype float32 usually mend this; the last checkpoint is from before."
            )
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(optimiser, schedule), to be kept: as one process has them, however many there are.  All must call this."""
        return parallel.whole(self.optimizer.state_dict()), self.schedule.state_dict()

    def restore(self, optimizer: dict[str, Any], schedule: dict[str, Any]) -> None:
        """Goes on from a kept state."""
        for place, kept in optimizer["state"].items():
            optimizer["state"][place] = {k: parallel.parted(v, self.parameters[place]) for k, v in kept.items()}
        self.optimizer.load_state_dict(optimizer)
        self.schedule.load_state_dict(schedule)
