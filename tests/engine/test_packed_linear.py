"""Linear layers laid out for the processor: the same model, or the one there was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from harness.engine import packed_linear, upcast_linear
from tests.support import tiny

pytestmark = pytest.mark.skipif(not torch._C._has_mkldnn, reason="no oneDNN on this processor")


MOVED = {torch.float32: 1e-4, torch.bfloat16: 0.025}  # nats
BFLOAT16 = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(
        not upcast_linear.multiplies_natively(torch.bfloat16), reason="this processor does not multiply bfloat16: it is upcast"
    ),
)


def probe(model: Any) -> torch.Tensor:
    found = packed_linear.probe_logprobs(model)
    assert found is not None
    return found


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny.llama(folder), dtype=dtype).eval().requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
def test_a_packed_model_answers_as_before_and_frees_its_weights(tmp_path: Path, dtype: torch.dtype) -> None:
    model = load(tmp_path, dtype)
    before = probe(model)
    assert packed_linear.pack_model(model)
    assert (probe(model) - before).abs().max() <= MOVED[dtype]
    layer = model.model.layers[0].mlp.up_proj
    assert layer.weight.is_meta
    assert layer.weight.shape == (layer.out_features, layer.in_features)
    assert model.device.type == "cpu"
    assert not packed_linear.pack_model(model), "there is nothing left to lay out"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of mapped files")
def test_the_file_of_the_weights_is_released(tmp_path: Path) -> None:
    model = load(tmp_path)
    file = str(next(tmp_path.glob("*.safetensors")))
    assert file in Path("/proc/self/maps").read_text(), "weights are read from the mapped file"
    assert packed_linear.pack_model(model)
    assert file not in Path("/proc/self/maps").read_text()


def test_a_head_that_is_the_embedding_too_keeps_its_weight(tmp_path: Path) -> None:
    model = load(tmp_path)
    model.lm_head.weight = model.model.embed_tokens.weight
    before = probe(model)
    assert packed_linear.pack_model(model)
    assert model.lm_head.weight is model.model.embed_tokens.weight, "kept once"
    assert not model.model.embed_tokens.weight.is_meta
    torch.testing.assert_close(probe(model), before, rtol=0, atol=1e-5)
    packed_linear.unpack_model(model)
    assert type(model.lm_head) is nn.Linear
    torch.testing.assert_close(probe(model), before, rtol=0, atol=0)


def test_a_model_that_fails_on_the_probe_stays_as_it_is(tmp_path: Path) -> None:
    model = load(tmp_path)
    model.model.layers[0].mlp.act_fn = None
    assert not packed_linear.pack_model(model)
    assert not any(weight.is_meta for weight in model.parameters())


class Reading(nn.Module):
    """A layer that reads another one's weight."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows @ self.inner.weight.T


def test_a_model_that_reads_weights_itself_is_put_back_as_it_was(tmp_path: Path) -> None:
    model = load(tmp_path)
    block = model.model.layers[1].mlp
    block.up_proj = Reading(block.up_proj)
    before = probe(model)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert not packed_linear.pack_model(model)
    assert torch.equal(probe(model), before)
    assert all(torch.equal(weights[name], weight) for name, weight in model.state_dict().items())


def test_a_policy_is_packed_for_a_while_and_trained_in_between(tmp_path: Path) -> None:
    model = load(tmp_path).requires_grad_(True)
    with packed_linear.temporarily_packed(model):
        first = probe(model)
    probe(model)
    ids = torch.arange(12)[None]
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    plain = probe(model)
    assert (plain - first).abs().max() > 1e-2
    with packed_linear.temporarily_packed(model):
        torch.testing.assert_close(probe(model), plain, rtol=0, atol=1e-4)
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_weights_come_back_where_the_work_between_fails(tmp_path: Path) -> None:
    model = load(tmp_path)
    with pytest.raises(ZeroDivisionError), packed_linear.temporarily_packed(model):
        _ = 1 / 0
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_an_adapter_on_a_packed_base_answers_as_before(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model: Any = get_peft_model(load(tmp_path), LoraConfig(r=4, target_modules=["q_proj", "up_proj"])).eval()
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    model.requires_grad_(False)
    before = probe(model)
    assert packed_linear.pack_model(model)
    torch.testing.assert_close(probe(model), before, rtol=0, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (0, 5), (3, 5), (2, 3, 5), (2, 0, 5)])
def test_any_shape_of_rows_is_multiplied(shape: tuple[int, ...], bias: bool) -> None:
    layer = nn.Linear(5, 7, bias=bias).requires_grad_(False)
    rows = torch.randn(shape)
    expected = layer(rows)
    torch.testing.assert_close(packed_linear.PackedLinear(layer)(rows), expected, rtol=1e-5, atol=1e-6)
    packed_linear.use_fast_product(layer, in_place=True)
    torch.testing.assert_close(layer(rows), expected, rtol=1e-5, atol=1e-6)
