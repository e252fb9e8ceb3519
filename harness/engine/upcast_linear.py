"""Linear layers in half precision for processors that cannot multiply it: block by block in float32.

Without AVX-512 (most desktop processors), torch multiplies bfloat16 and float16 number by number.  On one AVX2 core, this
multiplies 64 rows 7 times as fast and 8 rows 3 times, and takes the memory of a block more.  Products are summed in float32
either way and rounded once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCK_WEIGHTS = 1 << 20  # in float32 at a time: 4 MB stay in the processor's cache
MIN_ROWS = 4  # of fewer, each weight is used too seldom to be worth its conversion
NATIVE_CHECKS = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}


class UpcastLinear(nn.Linear):
    """A layer whose class was changed from `nn.Linear`: its weight stays its own, so it may be replaced at any time."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's own name
        rows = input.reshape(-1, self.in_features)
        if len(rows) < MIN_ROWS:
            return super().forward(input)
        return multiply_in_float32(rows, self.weight, self.bias).view(*input.shape[:-1], len(self.weight))


def multiply_in_float32(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Rows [R, in] times a weight [out, in], plus a bias [out]: [R, out] in the weight's type."""
    with torch.autocast("cpu", enabled=False):  # which would undo the conversion
        rows = rows.to(weight.dtype).float()
        products = rows.new_empty((len(rows), len(weight)), dtype=weight.dtype)
        step = max(1, BLOCK_WEIGHTS // weight.shape[1])
        for start in range(0, len(weight), step):
            block = slice(start, start + step)
            exact = None if bias is None else bias[block].float()
            products[:, block] = nn.functional.linear(rows, weight[block].float(), exact)
    return products


def multiplies_natively(dtype: torch.dtype) -> bool:
    """Whether the processor's matrix product (oneDNN) takes this type on this machine; True where nothing tells."""
    check = getattr(torch.ops.mkldnn, NATIVE_CHECKS[dtype], None) if dtype in NATIVE_CHECKS else None
    return check is None or bool(check())
