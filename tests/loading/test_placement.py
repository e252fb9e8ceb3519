"""Models on one device or spread over several: who gets what, and that a spread model answers as a whole one."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from harness.engine.engine import BatchLimits, Engine
from harness.engine.plain import TokenPair
from harness.engine.sequences import TokenPrompt
from harness.loading import placement
from harness.types import SkilldeltaError

SIZES = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.3,
}  # fmt: skip
GIB = 1 << 30
ANY = torch.device("cuda")


def make_model() -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**SIZES)).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("size", "device", "free", "budgets"),
    [
        (16, ANY, [70, 70], {}),
        (16, torch.device("cuda:1"), [1, 70], {}),
        (66, torch.device("cuda:0"), [70, 70], {}),  # nothing but this one may be used
        (66, ANY, [70, 70], {0: 52.5, 1: 52.5}),
        (140, ANY, [80, 80, 80], {0: 60, 1: 60, 2: 60}),
    ],
)
def test_a_model_goes_to_one_gpu_or_over_all(
    size: int, device: torch.device, free: list[int], budgets: dict[int, float]
) -> None:
    found = placement.choose_budgets(size * GIB, device, [n * GIB for n in free])
    assert found == {number: int(share * GIB) for number, share in budgets.items()}


@pytest.mark.parametrize(
    ("size", "device", "free", "words"),
    [(90, ANY, [80], "90.0 GiB, and GPU 0 has 80.0"), (90, torch.device("cuda:1"), [80, 60], "GPU 1 has 60.0 GiB"),
     (150, ANY, [80, 80], "2 GPUs have together 120.0 GiB")],
)  # fmt: skip
def test_a_model_that_fits_nowhere_is_refused_with_a_way_out(
    size: int, device: torch.device, free: list[int], words: str
) -> None:
    with pytest.raises(SkilldeltaError, match=words) as refusal:
        placement.choose_budgets(size * GIB, device, [n * GIB for n in free])
    assert "tensor_parallel" in str(refusal.value)


def half_on_disk(model: Any, folder: Path) -> Any:
    """Spread over the processor and the disk: the hooks are those that several GPUs have."""
    spread = placement.spread_model(model, {"cpu": placement.weight_bytes(model) // 2, "disk": GIB}, folder)
    assert placement.is_spread(spread)
    assert {"cpu", "disk"} <= set(map(str, spread.hf_device_map.values()))
    return spread


@pytest.mark.slow
@pytest.mark.parametrize("path", ["auto", "continuous"])
def test_a_spread_model_answers_as_a_whole_one(tmp_path: Path, path: Any) -> None:
    pairs = [TokenPair([5, 6, 7, *range(8, 8 + n)], [3, 4]) for n in range(4)]
    prompts = [TokenPrompt([5, 6, 7, 9 + n], 5, lambda _: False, seed=n) for n in range(4)]
    answers = []
    for model in (make_model(), half_on_disk(make_model(), tmp_path)):
        engine = Engine(model, BatchLimits(2, 2), path)
        values = dict(engine.loglikelihoods(engine.plan_pairs(pairs)))
        texts = dict(engine.generate(engine.plan_prompts(prompts), frozenset()))
        answers.append(([values[i].logprob for i in range(4)], [texts[i].ids for i in range(4)]))
    assert answers[1][0] == pytest.approx(answers[0][0], abs=1e-4)
    assert answers[1][1] == answers[0][1]


def test_an_adapter_is_spread_with_its_base(tmp_path: Path) -> None:
    lora = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    ids, outputs = torch.tensor([[5, 6, 7]]), []
    for spreads in (False, True):
        model = make_model()
        torch.manual_seed(1)
        model = peft.get_peft_model(model, lora).eval()
        model = half_on_disk(model, tmp_path) if spreads else model
        with torch.inference_mode():
            outputs.append(model(input_ids=ids).logits)
    assert torch.allclose(outputs[0], outputs[1], atol=1e-5)


def test_a_spread_model_stays_where_it_is(tmp_path: Path) -> None:
    model = half_on_disk(make_model(), tmp_path)
    assert placement.place_model(model, torch.device("cpu")) is model
    whole = make_model()
    assert placement.place_model(whole, torch.device("cpu")) is whole
    assert not placement.is_spread(whole)


def test_what_is_on_the_device_already_needs_no_further_room() -> None:
    model = make_model()
    assert placement.weight_bytes(model) > 4 * sum(p.numel() for p in model.parameters()) - 1
    assert placement.weight_bytes(model, "cpu") == 0
