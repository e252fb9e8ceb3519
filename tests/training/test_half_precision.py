"""Answers sampled under autocast: those of the model in half precision, by the engine's fast paths; weights unharmed."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from harness.training import sampling, training_device
from harness.training.half_precision import weights_in_half
from harness.training.sampling import SamplingSettings, sample_answers
from harness.training.settings import TrainerSettings

PROMPTS = [[5, 6, 7, 8, 9], [5, 6, 7, 11], [40, 41, 42, 43, 44, 45]]
SETTINGS = SamplingSettings(end=1, max_new=12, seed=3)


def make_llama(tied: bool) -> LlamaForCausalLM:
    """A random model whose rounding in bfloat16 is far above the limits for float32."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=97, tie_word_embeddings=tied, initializer_range=0.3, **sizes))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("small", [True, False])
def test_autocast_samples_as_a_half_precision_copy(tied: bool, small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SMALL", 10**9 if small else 0)
    model, half = make_llama(tied), make_llama(tied)
    for weights in half.parameters():  # its rotary frequencies stay in float32, as in a model that is loaded so
        weights.data = weights.data.bfloat16()
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    with torch.autocast("cpu", torch.bfloat16):
        found = sample_answers(model, PROMPTS, SETTINGS)
    assert found == sample_answers(half, PROMPTS, SETTINGS)
    assert all(torch.equal(weights, before[name]) for name, weights in model.state_dict().items())
    (engine,) = vars(model)["_engines"].values()
    assert not engine.caching_unsupported_reason  # else each token is computed from the whole text
    assert small or (engine.shares_prefixes and engine.packs_trees)


@pytest.mark.slow
def test_the_weights_of_now_are_sampled_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SMALL", 0)
    model, fresh = make_llama(True), make_llama(True)
    with torch.autocast("cpu", torch.bfloat16):
        first = sample_answers(model, PROMPTS, SETTINGS)
        for one in (model, fresh):
            with torch.no_grad():
                for weights in one.parameters():
                    weights *= -1.5
        again = sample_answers(model, PROMPTS, SETTINGS)
        assert again == sample_answers(fresh, PROMPTS, SETTINGS) != first


def test_weights_and_ties_come_back_also_after_an_error() -> None:
    model = make_llama(True)
    parameters = dict(model.named_parameters())
    with weights_in_half(model, torch.bfloat16):
        assert model.dtype is torch.bfloat16
        assert model.lm_head.weight is model.model.embed_tokens.weight
    with pytest.raises(ZeroDivisionError), weights_in_half(model, torch.bfloat16):
        raise ZeroDivisionError
    assert all(weights is parameters[name] for name, weights in model.named_parameters())
    assert all(weights.requires_grad for weights in model.parameters())
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize(
    ("dtype", "native", "warned"), [("bfloat16", False, True), ("bfloat16", True, False), ("float32", False, False)]
)
def test_a_processor_without_bfloat16_is_named(
    dtype: str, native: bool, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training_device, "multiplies_natively", lambda _: native)
    training_device.warn_of_slow_type(TrainerSettings(model="m", out="o", dtype=dtype, device="cpu"))
    assert ("--dtype float32 is faster here" in caplog.text) == warned
