"""Causal masks that a model keeps itself, indexed by places in the row: a packed row would be masked wrongly."""

from __future__ import annotations

from typing import Any

import torch

from harness.engine import plain
from harness.engine.plain import TokenPair


def fixed_mask_name(model: Any, pair: TokenPair) -> str:
    """The name of a causal mask that the model keeps as a buffer and uses, indexed by places in the row; "": none.

    Such a mask is right for short rows, and wrong or too small for long ones (GPT-Neo).  Some models have one and do not use
    it, so it is inverted: a log-likelihood of `pair` that stays the same does not depend on it.
    """
    masks = {name: buffer for name, buffer in model.named_buffers() if is_triangular(buffer)}
    if not masks:
        return ""
    before = plain.loglikelihood_batch(model, [pair])
    invert_masks(masks)
    try:
        after = plain.loglikelihood_batch(model, [pair])
    finally:
        invert_masks(masks)
    return "" if before == after else next(iter(masks))


def is_triangular(buffer: torch.Tensor) -> bool:
    """Is it a square table [..., T, T] of booleans that shows each place only those up to itself?"""
    if buffer.dtype != torch.bool or buffer.ndim < 2 or buffer.shape[-1] != buffer.shape[-2]:
        return False
    corner = buffer[..., :64, :64]
    return bool(corner.any()) and not bool(corner.int().triu(1).any())


def invert_masks(masks: dict[str, torch.Tensor]) -> None:
    for mask in masks.values():
        mask.logical_not_()
