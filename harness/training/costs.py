"""What a run costs: floating-point operations (counted), seconds per phase, tokens, peak memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.training import forward, model_loading
from harness.training.batches import Batch, padded
from harness.training.rates import Rates
from harness.training.tokenization import Tokens


def rates(model: nn.Module, head: nn.Module) -> Rates:
    """Measured with torch's counter on rows of two lengths: a transformer's cost is a square polynomial of the length.

    Attention is counted as the two full T x T products, without the causal half, whichever kernel computes it.
    """
    inner = model_loading.core(model)
    kernel = inner.config._attn_implementation
    inner.set_attn_implementation("eager")  # the counter knows matrix products; not every fused kernel
    short, long = (measured(model, n) for n in (8, 16))
    inner.set_attn_implementation(kernel)
    forward, backward = (polynomial(short[i], long[i]) for i in (0, 1))
    width = inner.config.get_text_config().hidden_size
    x = torch.zeros(1, width, device=inner.device, requires_grad=True)
    return Rates(forward, backward, *both(lambda: head(x), head))


def measured(model: nn.Module, length: int) -> tuple[float, float]:
    """(forward, backward) operations for one row of this many tokens, without the head."""
    inner = model_loading.core(model)
    batch = padded([Tokens((0,) * length, 1)], 0).to(inner.device)
    return both(lambda: forward.hidden(model, batch), model)


def both(compute: Callable[[], torch.Tensor], model: nn.Module) -> tuple[float, float]:
    """Operations of a computation and of its backward pass (0 where nothing is trained).  Leaves no gradients behind."""
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        found = compute()
        forward = counter.get_total_flops()
        if found.requires_grad:
            torch.autograd.backward(found.sum())
    model.zero_grad(set_to_none=True)
    return forward, counter.get_total_flops() - forward


def polynomial(short: float, long: float) -> tuple[float, float]:
    """(linear, square) from the costs of 8 and of 16 tokens; a recurrent model has no square part."""
    square = max(0.0, (long - 2 * short) / (16 * 16 - 2 * 8 * 8))
    return (long - 256 * square) / 16, square


@dataclass
class Costs:
    """A running account.  Seconds are wall time with the device's queue emptied at both ends."""

    flops: float = 0.0
    tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time inside to a phase."""
        drain()
        start = time.perf_counter()
        try:
            yield
        finally:
            drain()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def passed(self, rate: Rates, batch: Batch, train: bool, heads: int, times: int = 1, measured: bool = False) -> None:
        """`times` passes over a batch as it was computed, padding included, with `heads` tokens through the head in all.

        `train` adds the backward pass; `measured` leaves the forward pass out, where it is in the account already.
        """
        self.flops += times * rate.body(batch, forward=not measured, backward=train)
        self.flops += heads * (rate.head * (not measured) + rate.head_backward * train)
        if train:
            self.tokens += batch.real

    def generated(self, rate: Rates, rows: Sequence[Tokens]) -> None:
        """Sampling with a cache: the prompt in one pass, then each token attends to all before it; padding is not counted."""
        linear, square = rate.forward
        for row in rows:
            prompt, whole = row.start, len(row)
            self.flops += linear * whole + square * (prompt**2 + (whole**2 - prompt**2) / 2) + rate.head * (whole - prompt)


def drain() -> None:
    """Waits for the accelerator, where there is one."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def peak_memory() -> dict[str, int]:
    """The most memory held so far in bytes: of the process, and of the CUDA device where there is one."""
    found = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if torch.cuda.is_available():
        found["device"] = torch.cuda.max_memory_allocated()
    return found
