"""A small float32 copy of a model: its first layers and its head, over a few tokens of its vocabulary.

A wrong mask, position or window is wrong by far in any precision.  In half precision it can hide behind rounding, in float32
it cannot: so the structure is tried on such a copy, whatever the model's own type is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.engine.packed_linear import dense_weight, is_packed

MIN_LAYERS, MAX_LAYERS = 2, 16  # that are copied: as many as have every kind of layer
LAYER_NUMBERS = ("idx", "index", "layer_id", "layer_number")  # parts of names of attributes that differ from layer to layer
HALF_TYPES = (torch.float16, torch.bfloat16)


def copy_in_float32(model: Any, tokens: Sequence[int]) -> Any:
    """The copy; its token i is the model's token `tokens[i]`.  The model itself, where it is not in half precision.

    Raises whatever a strange architecture raises: a quantised model has no float32 copy.
    """
    if model.dtype not in HALF_TYPES:
        return model
    layers = find_layers(model)
    memo: dict[int, Any] = {}
    copied_layers = list(layers[: count_kinds(layers)]) if layers is not None else []
    other_ids = {id(part) for layer in list(layers or ())[len(copied_layers) :] for part in layer.modules()}
    rows = torch.tensor(list(tokens), device=model.device)
    copy_vocabulary(model, rows, memo)
    for part in model.modules():
        if is_packed(part) and id(part) not in other_ids and id(part) not in memo:
            memo[id(part)] = make_linear(dense_weight(part), part.bias)
    if layers is not None:
        memo[id(layers)] = copy.deepcopy(nn.ModuleList(copied_layers), memo)
    small = copy.deepcopy(model, memo).float().eval()
    small.config.get_text_config().vocab_size = len(tokens)
    return small


def find_layers(model: Any) -> Any:
    """The list of the model's layers; None where there is none of the length that its config says."""
    text = model.config.get_text_config()
    count = getattr(text, "num_hidden_layers", None)
    lists = (part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count)
    return next(lists, None) if count else None


def count_kinds(layers: Any) -> int:
    """So many first layers have every kind of layer."""
    kinds = [describe_layer(layer) for layer in layers]
    firsts = [at for at, kind in enumerate(kinds) if kind not in kinds[:at]]
    return min(max(firsts[-1] + 1, MIN_LAYERS), MAX_LAYERS)


def describe_layer(layer: nn.Module) -> list[tuple[object, ...]]:
    """What makes layers of one kind: the types of their parts, and the settings that stand there (a window, a flag)."""
    return [(name, type(part), *plain_settings(part)) for name, part in layer.named_modules()]


def plain_settings(part: nn.Module) -> Iterator[tuple[str, object]]:
    for name, value in sorted(vars(part).items()):
        if isinstance(value, str | int | float) and not any(word in name for word in LAYER_NUMBERS):
            yield name, value


def copy_vocabulary(model: Any, rows: Tensor, memo: dict[int, Any]) -> None:
    """Notes in `memo` the rows of the embedding and of the head that the copy needs: the largest tensors by far."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    size = model.config.get_text_config().vocab_size
    if is_packed(head):
        weight = memo[id(head.weight)] = float_rows(dense_weight(head), rows)
        bias = None if head.bias is None else float_rows(head.bias, rows)
        memo[id(head)] = make_linear(weight, bias)
    for part in (embedding, head):
        for weights in (getattr(part, "weight", None), getattr(part, "bias", None)):
            if weights is not None and id(weights) not in memo and weights.shape[:1] >= (size,) and not weights.is_meta:
                memo[id(weights)] = float_rows(weights, rows)
    if isinstance(embedding, nn.Embedding) and (embedding.padding_idx or 0) >= len(rows):
        small = memo[id(embedding)] = copy.deepcopy(embedding, memo)
        small.padding_idx = None  # a place in the whole vocabulary


def float_rows(weights: Tensor, rows: Tensor) -> nn.Parameter:
    return nn.Parameter(weights.detach()[rows.to(weights.device)].float(), requires_grad=False)


def make_linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A plain layer with these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = bias if isinstance(bias, nn.Parameter) else nn.Parameter(bias.detach(), requires_grad=False)
    return layer
