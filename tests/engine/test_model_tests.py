"""What the self-test tells apart in half precision: a wrong structure, rounding, and a model that is broken."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness.backends.transformers import TransformersOptions, load
from harness.engine import packed_linear, rounding, self_test
from harness.engine.engine import BatchLimits, Engine
from harness.engine.float32_copy import copy_in_float32
from harness.engine.model_tests import ModelTests
from harness.types import Checkpoint, SkilldeltaError
from tests.engine.test_engine import CONFIGS, SIZES, make
from tests.engine.test_model_families import make as make_family
from tests.support import tiny

HALF = [torch.bfloat16, torch.float16]
TEXTS = [[5, 6, 7, 8, 9, 10, 11, *range(20 + 4 * n, 40)] for n in range(4)]


def deep(layers: int = 24, dtype: torch.dtype = torch.bfloat16) -> Any:
    """A model whose rounding is large, as a real one's is: sharp attention, many layers."""
    config = transformers.LlamaConfig(**{**SIZES, "num_hidden_layers": layers})
    return make(config).to(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", HALF)
def test_a_deep_model_shares_prefixes_in_half_precision(dtype: torch.dtype) -> None:
    engine = Engine(deep(dtype=dtype), BatchLimits(4, 4), texts=TEXTS)
    assert (engine.name, engine.note) == ("tree", "")


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("family", ["bloom", "mpt", "gpt_neo", "falcon", "mamba"])
def test_a_structure_that_cannot_be_packed_is_refused_in_half_precision_too(family: str, dtype: torch.dtype) -> None:
    model = make_family(family)
    if family == "falcon" and dtype == torch.float16:
        pytest.skip("its ALiBi is built in bfloat16")
    assert Engine(model.to(dtype), BatchLimits(4, 4), texts=TEXTS).name == "plain"


@pytest.mark.parametrize("name", CONFIGS)
def test_the_copy_is_the_model_in_float32_over_some_of_its_tokens(name: str) -> None:
    model, tokens = make(CONFIGS[name]), [3, 7, 8, 20, 60]
    half = make(CONFIGS[name]).to(torch.bfloat16)
    small = copy_in_float32(half, tokens)
    reference = model.load_state_dict({k: v.float() for k, v in half.state_dict().items()}) and model
    with torch.no_grad():
        expected = reference(input_ids=torch.tensor([tokens])).logits[..., tokens]
        actual = small(input_ids=torch.tensor([[0, 1, 2, 3, 4]])).logits
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    assert half.dtype == torch.bfloat16
    assert small.dtype == torch.float32


def test_the_copy_has_a_layer_of_every_kind_and_no_more() -> None:
    kinds = ["full_attention"] * 3 + ["sliding_attention"] + ["full_attention"] * 4
    config = transformers.Gemma2Config(
        **{**SIZES, "num_hidden_layers": 8, "head_dim": 8, "sliding_window": 32}, layer_types=kinds
    )
    assert len(copy_in_float32(make(config).bfloat16(), range(32)).model.layers) == 4
    assert len(copy_in_float32(deep(), range(32)).model.layers) == 2


@pytest.mark.slow
@pytest.mark.skipif(not torch._C._has_mkldnn, reason="no oneDNN on this processor")
def test_packed_weights_come_back_in_the_copy(tmp_path: Path) -> None:
    for tied in (False, True):
        model = transformers.AutoModelForCausalLM.from_pretrained(tiny.llama(tmp_path / str(tied)), dtype=torch.bfloat16).eval()
        if tied:
            model.lm_head.weight = model.model.embed_tokens.weight
        with torch.no_grad():
            expected = model.float()(input_ids=torch.tensor([[3, 4, 5]])).logits[..., [3, 4, 5]]
            model.bfloat16().requires_grad_(False)
            assert packed_linear.pack_model(model)
            actual = copy_in_float32(model, [3, 4, 5])(input_ids=torch.tensor([[0, 1, 2]])).logits
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_rounding_is_measured_against_plain_passes_and_a_wrong_answer_is_beyond_it() -> None:
    model = deep()
    tests = ModelTests(model, TEXTS)
    plain_values = tests.plain_values
    assert len(plain_values) == 3, "alone, together, continued"
    ours = rounding.per_token(self_test.packed_loglikelihoods(model, tests.pairs, self_test.small_budget(5)), tests.pairs)
    near = rounding.measure_distances(plain_values, ours)
    assert near.plain > 0
    assert near.unsupported_reason(model.dtype, "") == ""
    far = rounding.measure_distances(plain_values, [v + 1.0 for v in ours])
    assert "between plain batches by" in far.unsupported_reason(model.dtype, "when packed")
    assert rounding.measure_distances(plain_values, [float("nan")] * len(ours)).unsupported_reason(model.dtype, "")


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_numbers_that_overflow_are_a_broken_model_and_no_reason_to_share_nothing(engine: Any, tmp_path: Path) -> None:
    folder = tiny.llama(tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    for layer in (model.model.layers[0].mlp.gate_proj, model.model.layers[0].mlp.up_proj):
        layer.weight.data.mul_(10_000 / layer.weight.abs().max())  # fits in float16; the products do not
    model.save_pretrained(folder)
    options = TransformersOptions(dtype="float16", device="cpu", engine=engine)
    with pytest.raises(SkilldeltaError, match=r"gives NaN(?s:.)*NaN in float16(?s:.)*try --dtype bfloat16"):
        load(Checkpoint("broken", str(folder), "transformers"), options)


@pytest.mark.slow
def test_a_model_that_cannot_be_copied_is_tried_in_its_own_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Any:
        raise ValueError("quantised")

    monkeypatch.setattr("harness.engine.model_tests.copy_in_float32", refuse)
    assert Engine(make(CONFIGS["llama"]).bfloat16(), BatchLimits(4, 4)).name == "tree"
    assert Engine(make_family("mpt").bfloat16(), BatchLimits(4, 4)).name == "plain"
