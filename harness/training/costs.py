"""The cost of a run: floating-point operations (counted), seconds by phase, tokens, peak memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.training import forward
from harness.training.batches import Batch, Tokens, pad_rows
from harness.training.flop_rates import FlopRates


def measure_rates(model: nn.Module, head: nn.Module) -> FlopRates:
    """Operations that torch's counter finds on rows of two lengths: a transformer's cost is a quadratic of the length.

    Attention counts as the two full T x T products, without the causal half, whichever kernel computes it.
    """
    inner = forward.inner_model(model)
    kernel = inner.config._attn_implementation
    inner.set_attn_implementation("eager")  # the counter knows matrix products, but not every fused kernel
    short, long = (row_flops(model, length) for length in (8, 16))
    inner.set_attn_implementation(kernel)
    forward_rate, backward_rate = (fit_polynomial(short[i], long[i]) for i in (0, 1))
    width = inner.config.get_text_config().hidden_size
    x = torch.zeros(1, width, device=inner.device, requires_grad=True)
    return FlopRates(forward_rate, backward_rate, *pass_flops(lambda: head(x), head))


def row_flops(model: nn.Module, length: int) -> tuple[float, float]:
    """(forward, backward) operations for one row of this many tokens, without the head."""
    batch = pad_rows([Tokens((0,) * length, 1)], 0).to(forward.inner_model(model).device)
    return pass_flops(lambda: forward.hidden_states(model, batch), model)


def pass_flops(compute: Callable[[], torch.Tensor], model: nn.Module) -> tuple[float, float]:
    """Operations of a computation and of its backward pass (0 without a gradient).  Leaves no gradients behind."""
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        output = compute()
        forward_flops = counter.get_total_flops()
        if output.requires_grad:
            torch.autograd.backward(output.sum())
    model.zero_grad(set_to_none=True)
    return forward_flops, counter.get_total_flops() - forward_flops


def fit_polynomial(short: float, long: float) -> tuple[float, float]:
    """(linear, square) from the costs of 8 and of 16 tokens; a recurrent model has no square part."""
    square = max(0.0, (long - 2 * short) / (16 * 16 - 2 * 8 * 8))
    return (long - 256 * square) / 16, square


@dataclass
class Costs:
    """A running account.  Seconds are wall time with the device's queue empty at both ends."""

    flops: float = 0.0
    tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time inside to a phase."""
        synchronize()
        start = time.perf_counter()
        try:
            yield
        finally:
            synchronize()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def count_pass(
        self, rate: FlopRates, batch: Batch, train: bool, heads: int, times: int = 1, skip_forward: bool = False
    ) -> None:
        """Adds `times` passes over a batch, padding included, with `heads` tokens through the head in all.

        `train` adds the backward pass; `skip_forward` leaves out a forward pass that the account has already.
        """
        self.flops += times * rate.body_flops(batch, forward=not skip_forward, backward=train)
        self.flops += heads * (rate.head * (not skip_forward) + rate.head_backward * train)
        if train:
            self.tokens += batch.token_count

    def count_sampling(self, rate: FlopRates, rows: Sequence[Tokens]) -> None:
        """Adds sampling with a cache, without padding: the prompt in one pass, then each token attends to all before it."""
        linear, square = rate.forward
        for row in rows:
            prompt, length = row.start, len(row)
            self.flops += linear * length + square * (prompt**2 + (length**2 - prompt**2) / 2) + rate.head * (length - prompt)


def synchronize() -> None:
    """Waits for the accelerator, where there is one."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def peak_memory() -> dict[str, int]:
    """Peak memory in bytes: of the process, and of the CUDA device where there is one."""
    peaks = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if torch.cuda.is_available():
        peaks["device"] = torch.cuda.max_memory_allocated()
    return peaks
