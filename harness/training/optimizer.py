"""The change of the weights: AdamW, warm-up and linear decay, clipping, and an error for a loss that is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from harness.bounded_files import UnreadableFileError
from harness.training import parallel
from harness.training.settings import TrainerSettings
from harness.types import SkilldeltaError


def schedule_factor(step: int, total: int, warmup: int, end: float) -> float:
    """The learning rate of a step (from 0) as a share: up from 0 over `warmup` steps, then linearly down to `end`."""
    if step < warmup:
        return step / warmup
    return end + (1 - end) * max(0.0, (total - step) / max(1, total - warmup))


class ScheduledOptimizer:
    """AdamW with its schedule.  `apply` makes one step from the current gradients."""

    def __init__(self, weights: Iterable[nn.Parameter], config: TrainerSettings, total: int, lr: float | None = None) -> None:
        self.parameters = [p for p in weights if p.requires_grad]
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
        self.factor: Callable[[int], float] = lambda step: schedule_factor(step, total, warmup, config.lr_end)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self.factor)

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def apply(self, loss: float, step: int) -> float:
        """Changes the weights and returns the norm of the gradient before clipping.

        Raises SkilldeltaError for a loss or norm that is not finite, before any weight has changed.
        """
        self.sum_gradients()
        total_norm = nn.utils.clip_grad_norm_(self.parameters, self.clip or math.inf)
        norm = float(total_norm.full_tensor() if isinstance(total_norm, DTensor) else total_norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise SkilldeltaError(
                f"At step {step} the loss is {loss} and the norm of the gradient {norm}: no weight was changed.  "
                "A lower --lr, a longer --warmup or --dtype float32 usually helps; the last checkpoint is from before."
            )
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def sum_gradients(self) -> None:
        """Adds up the gradients of several processes.

        A sum, not a mean: each process divides its part of the loss by the count of the whole batch, because the parts may
        hold different numbers of tokens.
        """
        if not distributed.is_initialized():
            return
        for p in self.parameters:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad  # a process without rows takes part too
            if isinstance(p, DTensor):
                p.grad.mul_(parallel.process_count())  # FSDP has taken the mean already
            else:
                distributed.all_reduce(p.grad)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(optimiser, schedule) to save, as one process has them, however many there are.  Every process must call this."""
        return parallel.gather_full(self.optimizer.state_dict()), self.schedule.state_dict()

    def check_state(self, optimizer: dict[str, Any], last: int) -> None:
        """Raises UnreadableFileError, or what a wrong type raises, for a state after `last` changes that does not fit.

        What the settings decide must be as they have it.  Moments of another shape would end the process.
        """
        (own,), (theirs,) = self.optimizer.state_dict()["param_groups"], optimizer["param_groups"]
        others = [name for name in own.keys() & theirs.keys() - {"lr"} if own[name] != theirs[name]]
        if others or not isinstance(last, int):
            raise UnreadableFileError(f"its optimiser has another {', '.join(sorted(others)) or 'step'}")
        for place, moments in optimizer["state"].items():
            weight = self.parameters[own["params"].index(place)]
            shapes = {name: value.shape for name, value in moments.items()}
            if shapes != {"step": (), "exp_avg": weight.shape, "exp_avg_sq": weight.shape}:
                raise UnreadableFileError("its optimiser has moments of other weights")
            if not all(value.isfinite().all() for value in moments.values()):
                raise UnreadableFileError("its optimiser has moments that are no finite numbers")
        if last != max((int(moments["step"]) for moments in optimizer["state"].values()), default=last):
            raise UnreadableFileError("its optimiser and its schedule have made different numbers of steps")

    def restore(self, optimizer: dict[str, Any], last: int) -> None:
        """Continues from a saved state after `last` changes, which `check_state` has let pass.

        The learning rate is that of the schedule: were it another one, a step would be made with it.
        """
        for own, group in zip(self.optimizer.param_groups, optimizer["param_groups"], strict=True):
            group["lr"] = own["initial_lr"] * self.factor(last)
        for place, tensors in optimizer["state"].items():
            optimizer["state"][place] = {k: parallel.local_shard(v, self.parameters[place]) for k, v in tensors.items()}
        self.optimizer.load_state_dict(optimizer)
        rates = [group["lr"] for group in optimizer["param_groups"]]
        self.schedule.load_state_dict(
            self.schedule.state_dict() | {"last_epoch": last, "_step_count": last + 1, "_last_lr": rates}
        )
