"""Half precision on a processor that cannot multiply it: the same products, block by block in float32."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from harness.engine import packed_linear, upcast_linear
from harness.engine.float32_copy import copy_in_float32
from harness.engine.upcast_linear import UpcastLinear
from tests.support import tiny

HALVES = (torch.bfloat16, torch.float16)
pytestmark = pytest.mark.skipif(not torch._C._has_mkldnn, reason="no oneDNN on this processor")


@pytest.fixture
def multiplies_no_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without AVX-512."""
    monkeypatch.setattr(packed_linear, "multiplies_natively", lambda dtype: dtype not in HALVES)


def load(folder: Path, dtype: torch.dtype) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny.llama(folder), dtype=dtype).eval().requires_grad_(False)


def upcast(layer: nn.Linear) -> nn.Linear:
    packed_linear.change_class(layer, UpcastLinear)
    return layer


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (0, 5), (3, 5), (2, 3, 5), (2, 0, 5), (2, 2, 8, 5)])
@pytest.mark.parametrize("block", [1, 11, 15, 1000])
def test_products_are_those_of_float64_rounded_once(
    shape: tuple[int, ...], bias: bool, dtype: torch.dtype, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upcast_linear, "BLOCK_WEIGHTS", block)
    layer = nn.Linear(5, 7, bias=bias, dtype=dtype).requires_grad_(False)
    rows = torch.randn(shape, dtype=dtype)
    exact = copy.deepcopy(layer).double()(rows.double())
    found = upcast(layer)(rows)
    assert found.dtype is dtype
    assert found.shape == exact.shape
    torch.testing.assert_close(found.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-6 if len(shape) > 1 else 1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", HALVES)
def test_a_model_is_upcast_and_put_back(tmp_path: Path, dtype: torch.dtype, multiplies_no_halves: None) -> None:
    model = load(tmp_path, dtype)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    exact = packed_linear.probe_logprobs(copy.deepcopy(model).float())
    plain = packed_linear.probe_logprobs(model)
    assert packed_linear.pack_model(model)
    layer = model.model.layers[0].mlp.up_proj
    assert isinstance(layer, UpcastLinear)
    found = packed_linear.probe_logprobs(model)
    assert exact is not None
    assert plain is not None
    assert found is not None
    assert (found - exact).abs().max() <= 2 * (plain - exact).abs().max()
    assert not packed_linear.pack_model(model), "there is nothing left to do"
    packed_linear.unpack_model(model)
    assert type(layer) is nn.Linear
    assert all(torch.equal(weights[name], weight) for name, weight in model.state_dict().items())
    again = packed_linear.probe_logprobs(model)
    assert again is not None
    assert torch.equal(again, plain)


@pytest.mark.slow
def test_an_upcast_model_has_a_float32_copy(tmp_path: Path, multiplies_no_halves: None) -> None:
    model = load(tmp_path, torch.bfloat16)
    ids = torch.arange(3, 9)
    whole = copy.deepcopy(model).float()(input_ids=ids[None]).logits[0][:, ids]
    assert packed_linear.pack_model(model)
    small = copy_in_float32(model, ids.tolist())
    assert small is not model
    logits = small(input_ids=torch.arange(len(ids))[None]).logits[0]
    assert logits.shape == (len(ids), len(ids))
    assert len(small.model.layers) == len(model.model.layers)
    torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-5)


def test_a_weight_that_is_replaced_is_used_at_once() -> None:
    layer = upcast(nn.Linear(6, 4, dtype=torch.bfloat16).requires_grad_(False))
    rows = torch.randn(8, 6, dtype=torch.bfloat16)
    layer(rows)
    layer.weight.data = torch.zeros_like(layer.weight)
    assert layer.bias is not None
    assert torch.equal(layer(rows), layer.bias.expand(8, 4))


def test_autocast_does_not_undo_the_conversion() -> None:
    layer = nn.Linear(64, 48, dtype=torch.bfloat16).requires_grad_(False)
    rows = torch.randn(16, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = layer(rows)
        found = upcast(layer)(rows)
    assert found.dtype is plain.dtype
    torch.testing.assert_close(found, plain, rtol=0.01, atol=1e-3)


def test_a_policy_is_upcast_for_a_while(tmp_path: Path, multiplies_no_halves: None) -> None:
    model = load(tmp_path, torch.bfloat16)
    with packed_linear.temporarily_packed(model):
        assert any(isinstance(layer, UpcastLinear) for layer in model.modules())
    assert not any(isinstance(layer, UpcastLinear) for layer in model.modules())


def test_where_nothing_tells_the_type_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(upcast_linear.NATIVE_CHECKS, torch.bfloat16, "_no_such_check")
    assert upcast_linear.multiplies_natively(torch.bfloat16)
    assert upcast_linear.multiplies_natively(torch.float32)
