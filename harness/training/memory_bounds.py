"""How many rows are computed at once, where all rows of a step would need more memory than there is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from harness.engine.memory import device_memory
from harness.training import forward, parallel
from harness.training.batches import Tokens, pad_rows
from harness.training.settings import TrainerSettings
from harness.training.training_device import autocast

LOG = logging.getLogger("skilldelta")
C = TypeVar("C", bound=TrainerSettings)
PROBE_TOKENS = 64
ACTIVATION_SHARE = 0.5  # of the device's memory; the rest is for weights, gradients, the optimiser and what else runs


def bound_rows(config: C, model: nn.Module, lengths: Sequence[int], rows: int, passes: int = 1) -> C:
    """The settings with a `micro_batch` that fits, where the user named none and the rows of a step do not fit at once.

    `lengths`: the tokens of each row of the data, at most.  `rows`: how many one change of the weights takes.  `passes`: how
    many models keep their activations at the same time when all rows are computed at once.
    """
    rows = -(-min(rows, config.batch) // parallel.process_count())
    if config.micro_batch or rows < 2 or not lengths or parallel.uses_shards(config.shard):  # shards need the same number
        return config
    device = forward.inner_model(model).device
    room = ACTIVATION_SHARE * device_memory(device)
    row_bytes = activation_bytes(model, config) * max(lengths)
    need = sum(sorted(lengths)[-rows:]) / max(lengths) * row_bytes * passes * rows / min(rows, len(lengths))
    if need <= room:
        return config
    fit = min(rows - 1, max(1, int(room / row_bytes)))
    if parallel.is_writer():
        LOG.warning(
            "%d rows of up to %d tokens at once would need about %.0f GB, and %s has %.0f GB: %d are computed at once.  "
            "--micro-batch sets another number; the result is the same.",
            rows,
            max(lengths),
            need / 1e9,
            "the processor" if device.type == "cpu" else device,
            room / ACTIVATION_SHARE / 1e9,
            fit,
        )
    return replace(config, micro_batch=fit)


def activation_bytes(model: nn.Module, config: TrainerSettings) -> float:
    """Bytes that a training pass keeps for each token until its backward pass: measured on two rows, of which one is longer.

    What does not grow with the tokens, such as weights in bfloat16, cancels out.
    """
    short, long = (kept_bytes(model, length, config) for length in (PROBE_TOKENS, 2 * PROBE_TOKENS))
    return max(1.0, (long - short) / PROBE_TOKENS)


def kept_bytes(model: nn.Module, length: int, config: TrainerSettings) -> int:
    """Bytes of the tensors that autograd keeps of a pass over one row, without the weights."""
    weights = {w.untyped_storage().data_ptr() for w in model.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = pad_rows([Tokens((0,) * length, 1)], 0).to(forward.inner_model(model).device)
    with torch.enable_grad(), autocast(config), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        states = forward.hidden_states(model, batch)  # it holds them all, so that no address is used twice
        total = sum(sizes.values())
    del states
    return total
