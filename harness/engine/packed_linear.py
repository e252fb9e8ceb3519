"""Linear layers for the processor, their weights laid out once as its matmul (oneDNN) reads them.

A plain layer's weight is laid out anew in every pass.  On one AVX-512 core, a laid-out one multiplies 64 rows 1.3 to 1.7 times
as fast, 8 rows twice, and hundreds of rows 1.2 times.  The sums are the same, in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 64  # for which the layout is chosen; of 8, 64 and 256 none was better for all numbers of rows
KINDS = (torch.float32, torch.bfloat16)
# Nats that rounding may move a log-probability in the trial.
LOOSE = {torch.float32: 1e-3, torch.bfloat16: 0.25}


class Packed:
    """What a layer does instead of its own forward: input [..., in] to output [..., out]."""

    def __init__(self, layer: nn.Linear) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), ROWS)
        self.bias, self.width = layer.bias, layer.out_features

    def __call__(self, rows: Tensor) -> Tensor:
        if not rows.numel():
            return rows.new_empty((*rows.shape[:-1], self.width))
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, "none", [], "")
        return found


def pack(model: Any) -> bool:
    """Lays out a model that is not trained any more, and says whether it did.

    The weights themselves are let go (they tell shape and type, and hold nothing) where no other layer uses them.  A model
    that answers otherwise afterwards, or not at all, is put back as it was.
    """
    layers, shared = list(linear(model)), several(model)
    before = probe(model) if layers else None
    if before is None:
        return False
    for layer in layers:
        vars(layer)["forward"] = Packed(layer)
        if id(layer.weight) not in shared:
            layer.weight = nn.Parameter(layer.weight.to("meta"), requires_grad=False)
    if same(model, before, LOOSE[layers[0].weight.dtype]):
        unmap(model)
        return True
    for layer in layers:
        dense = vars(layer).pop("forward").weight.to_dense()
        if layer.weight.is_meta:
            layer.weight = nn.Parameter(dense, requires_grad=False)
    return False


def unmap(model: Any) -> None:
    """Copies what is left of the weights: one tensor that lies in a checkpoint's mapped file keeps all of it in memory."""
    for weights in (*model.parameters(), *model.buffers()):
        if weights.device.type == "cpu":
            weights.data = weights.data.clone()


@contextmanager
def packed(model: Any) -> Iterator[None]:
    """A model laid out for a while: its weights stay, and are read once at the beginning."""
    layers = list(linear(model))
    try:
        for layer in layers:
            vars(layer)["forward"] = Packed(layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def linear(model: Any) -> Iterator[nn.Linear]:
    """The layers that can be laid out: plain ones, whole, in the processor's memory."""
    if not (torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return
    for layer in model.modules():
        if type(layer) is not nn.Linear or "forward" in vars(layer):
            continue
        weight = layer.weight
        if type(weight.data) is Tensor and weight.numel() and weight.device.type == "cpu" and weight.dtype in KINDS:
            yield layer


def several(model: Any) -> set[int]:
    """Parameters that more than one layer uses, as an embedding and the head often do."""
    seen, found = set[int](), set[int]()
    for layer in model.modules():
        for own in layer._parameters.values():
            (found if id(own) in seen else seen).add(id(own))
    return found


def same(model: Any, before: Tensor, loose: float) -> bool:
    """Does it answer as before, on the same device?"""
    after = probe(model)
    if after is None or model.device.type != "cpu":
        return False
    return bool((after - before).abs().max() <= loose)


@torch.inference_mode()
def probe(model: Any) -> Tensor | None:
    """Log-probabilities [tokens, V] after a few tokens; None from a model that cannot be asked so."""
    ids = torch.arange(8)[None] % model.config.get_text_config().vocab_size
    try:
        found: Tensor = model(input_ids=ids).logits[0].log_softmax(-1)
    except Exception:  # noqa: BLE001  whatever a strange layer raises, it is the answer
        return None
    return found
