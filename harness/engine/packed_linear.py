"""Linear layers for the processor, their weights laid out once as its matrix product (oneDNN) reads them.

A plain layer's weight is laid out anew in every pass.  On one AVX-512 core, a packed one multiplies 64 rows 1.3 to 1.7 times
as fast, 8 rows twice, and hundreds of rows 1.2 times.  The sums are the same, in another order.  Layers of a type that the
processor cannot multiply are upcast instead.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness.engine import memory
from harness.engine.upcast_linear import UpcastLinear, multiplies_natively

LAYOUT_ROWS = 64  # for which the layout is chosen; of 8, 64 and 256 none was better for all numbers of rows
LAYOUT_TYPES = (torch.float32, torch.bfloat16)
# By what share of its largest output a layer may change: by rounding.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.02, torch.float16: 0.004}
# The share of the probability that a whole model may move.  In half precision that is no measure: two right passes over the
# few tokens of the probe can be as far apart as two texts.  Nor would log-probabilities do: those of tokens that a real model
# never says move by more than a nat's thousandth, without any harm.
MODEL_TOLERANCE = {torch.float32: 1e-3}
TRIED_ROWS = 8
# oneDNN keeps the code of every product by its number of rows: half a megabyte each, a thousand of them unless told otherwise.
# Both numbers are read at the first product.  A pass needs about five products, and new code takes half a millisecond.
for limit in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(limit, "32")


class PackedLinear:
    """Replaces a layer's `forward`: input [..., in] to output [..., out].

    oneDNN reads a weight in blocks that fit its registers, and which blocks are best depends on the number of rows.  The
    reordered copy is opaque: only oneDNN's own product reads it.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), LAYOUT_ROWS)
        self.bias, self.width = layer.bias, layer.out_features

    def __call__(self, rows: Tensor) -> Tensor:
        return multiply(rows, self.weight, self.bias, self.width)


class InPlaceLinear(nn.Linear):
    """A layer whose class was changed from `nn.Linear`: oneDNN multiplies its weight as it lies."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's own name
        return multiply(input, self.weight, self.bias, len(self.weight))


def multiply(rows: Tensor, weight: Tensor, bias: Tensor | None, width: int) -> Tensor:
    """oneDNN's product of rows [..., in] and a weight of `width` rows, packed or not: [..., width]."""
    if not rows.numel():  # an expert of a mixture that no token is sent to
        return rows.new_empty((*rows.shape[:-1], width))
    output: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return output


def pack_model(model: Any, changing: Collection[nn.Module] = ()) -> bool:
    """Packs the linear layers of a model that is not trained any more, but those that are `changing`; True where it did.

    The original weights are freed: a meta tensor keeps their shape and type, and no memory.  A weight that another layer uses,
    as an embedding does the head's, is multiplied where it lies: a second copy of SmolLM2's head would be a fifth of the model,
    and spare a thirtieth of a step.  A model that has a layer whose products change beyond rounding, or that fails afterwards,
    is put back as it was.
    """
    changing_ids = set(map(id, changing))
    layers = [layer for layer in packable_layers(model) if id(layer) not in changing_ids]
    shared_ids = shared_parameters(model)
    before = probe_logprobs(model) if layers else None
    if before is None:
        return False
    tolerance = MODEL_TOLERANCE.get(layers[0].weight.dtype, 1)
    files = memory.mapped_files()
    for layer in layers:
        if not keeps_products(layer, id(layer.weight) in shared_ids):
            unpack_model(model)
            return False
        if is_packed(layer):
            memory.page_out(layer.weight, files)
            layer.weight = nn.Parameter(layer.weight.to("meta"), requires_grad=False)
    after = probe_logprobs(model)
    if after is None or model.device.type != "cpu" or not probability_moved(before, after) <= tolerance:
        unpack_model(model)
        return False
    for weights in (*model.parameters(), *model.buffers()):
        if weights.device.type == "cpu":  # one tensor left in a checkpoint's mapped file keeps the whole file in memory
            in_file, weights.data = weights.data, weights.data.clone()
            memory.page_out(in_file, files)
    memory.return_freed_memory()
    return True


def unpack_model(model: Any) -> None:
    """Puts the layers back as they were; a model that is not packed stays as it is."""
    for layer in model.modules():
        if is_packed(layer) or isinstance(layer, UpcastLinear | InPlaceLinear):
            if layer.weight.is_meta:
                layer.weight = nn.Parameter(dense_weight(layer), requires_grad=False)
            use_own_product(layer)


@contextmanager
def temporarily_packed(model: Any) -> Iterator[None]:
    """The model with packed layers inside the `with`.  Its own weights stay; a change to them in there has no effect."""
    layers = list(packable_layers(model))
    try:
        for layer in layers:
            use_fast_product(layer)
        yield
    finally:
        for layer in layers:
            use_own_product(layer)


def use_fast_product(layer: nn.Linear, in_place: bool = False) -> None:
    """Gives a layer the product that is fastest for its type on this processor; `in_place`: without a copy of its weight."""
    if not multiplies_natively(layer.weight.dtype):
        change_class(layer, UpcastLinear)
    elif in_place:
        change_class(layer, InPlaceLinear)
    else:
        vars(layer)["forward"] = PackedLinear(layer)


def use_own_product(layer: nn.Module) -> None:
    """Undoes `use_fast_product`, but for a weight that was freed."""
    vars(layer).pop("forward", None)
    change_class(layer, nn.Linear)


def change_class(layer: nn.Module, kind: type[nn.Module]) -> None:
    """Makes a layer one of another class with the same attributes; whatever refers to the layer still does."""
    layer.__class__ = kind


def is_packed(part: Any) -> bool:
    """Is it a linear layer whose weight is laid out for the processor?"""
    return isinstance(part, nn.Module) and isinstance(vars(part).get("forward"), PackedLinear)


def dense_weight(layer: Any) -> Tensor:
    """The weight of a packed layer, as it was."""
    weight: Tensor = vars(layer)["forward"].weight.to_dense() if layer.weight.is_meta else layer.weight.detach()
    return weight


def has_fast_product(dtype: torch.dtype) -> bool:
    """Whether there is a faster product than torch's own for weights of this type."""
    return dtype in LAYOUT_TYPES or not multiplies_natively(dtype)


def packable_layers(model: Any) -> Iterator[nn.Linear]:
    """The linear layers with an ordinary weight in the processor's memory: not quantised, not split, not yet packed."""
    if not (torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return
    for layer in model.modules():
        if type(layer) is not nn.Linear or "forward" in vars(layer):
            continue
        weight = layer.weight
        if type(weight.data) is Tensor and weight.numel() and weight.device.type == "cpu" and has_fast_product(weight.dtype):
            yield layer


def shared_parameters(model: Any) -> set[int]:
    """The ids of parameters that several layers use, as an embedding and the head often do."""
    once, several = set[int](), set[int]()
    for layer in model.modules():
        for parameter in layer._parameters.values():
            (several if id(parameter) in once else once).add(id(parameter))
    return several


@torch.inference_mode()
def keeps_products(layer: nn.Linear, in_place: bool) -> bool:
    """Gives a layer its fast product; whether that multiplies as the layer's own did."""
    weight, generator = layer.weight, torch.Generator().manual_seed(0)
    rows = torch.randn((TRIED_ROWS, weight.shape[1]), generator=generator).to(weight.dtype)
    try:
        before = layer.forward(rows).float()
        use_fast_product(layer, in_place)
        change = (layer.forward(rows).float() - before).abs().max()
    except RuntimeError:  # a layer that its model never calls may have a bias of another type
        return False
    return bool(change <= TOLERANCE[weight.dtype] * before.abs().max())


def probability_moved(before: Tensor, after: Tensor) -> float:
    """The largest total variation distance between log-probabilities [8, V]; NaN where one is."""
    return float((after.float().exp() - before.float().exp()).abs().sum(1).max() / 2)


@torch.inference_mode()
def probe_logprobs(model: Any) -> Tensor | None:
    """Log-probabilities [8, V] after each of eight tokens; None from a model that fails on them."""
    ids = torch.arange(8)[None] % model.config.get_text_config().vocab_size
    try:
        logprobs: Tensor = model(input_ids=ids).logits[0].log_softmax(-1)
    except Exception:  # noqa: BLE001  a strange architecture may raise anything
        return None
    return logprobs
