"""Which adapters vLLM takes, and lm-eval's backends: what they would misread is refused."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from harness.backends import lm_eval
from harness.checkpoint_folders import describe_path
from harness.types import Checkpoint, SkilldeltaError
from harness.vllm_adapters import adapter_rank
from tests.support import tiny

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # peft's, on layers saved with an adapter
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("vllm-adapters") / "base", 0)


def save_adapter(base: Path, folder: Path, **settings: Any) -> Checkpoint:
    torch.manual_seed(0)
    options = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "init_lora_weights": False}
    config = peft.LoraConfig(**{**options, **settings})
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    return describe_path(str(folder))


@pytest.mark.parametrize(("rank", "room"), [(1, 8), (8, 8), (12, 16), (512, 512)])
def test_a_buffer_has_room_for_the_adapter(base: Path, tmp_path: Path, rank: int, room: int) -> None:
    assert adapter_rank(Checkpoint("base", str(base), "transformers")) == 0
    assert adapter_rank(save_adapter(base, tmp_path / "lora", r=rank)) == room


@pytest.mark.parametrize(
    "settings", [{"use_rslora": True}, {"init_lora_weights": "gaussian"}, {"layers_to_transform": [1]}], ids=str
)
def test_what_is_plain_once_it_is_saved_is_taken(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    assert adapter_rank(save_adapter(base, tmp_path / "lora", **settings)) == 8


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"lora_bias": True}, "lora_bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights pissa"),
        ({"init_lora_weights": "olora"}, "init_lora_weights olora"),
        ({"trainable_token_indices": [3]}, "it changes its base"),
        ({"layer_replication": [(0, 2), (1, 2)]}, "it changes its base"),
        ({"r": 600}, "rank 600: vLLM takes up to 512"),
    ],
    ids=str,
)
def test_an_adapter_that_vllm_would_misread_is_refused(
    base: Path, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SkilldeltaError, match=rf"{reason}[\s\S]*--backend transformers"):
        adapter_rank(save_adapter(base, tmp_path / "lora", **settings))


def test_layers_of_the_base_beside_an_adapters_own_tensors_are_refused(base: Path, tmp_path: Path) -> None:
    checkpoint = save_adapter(base, tmp_path / "lora")
    file = Path(checkpoint.path) / WEIGHTS
    save_file({**load_file(file), "base_model.model.model.embed_tokens.weight": torch.zeros(320, 32)}, file)
    with pytest.raises(SkilldeltaError, match="tensors of the base among its own"):
        adapter_rank(checkpoint)


def test_another_kind_is_named(base: Path, tmp_path: Path) -> None:
    config = peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM")
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(tmp_path / "ia3")
    with pytest.raises(SkilldeltaError, match="does not take: IA3"):
        adapter_rank(describe_path(str(tmp_path / "ia3")))


@pytest.mark.parametrize("backend", ["hf", "vllm"])
def test_an_adapter_of_an_adapter_is_refused_where_one_is_taken(base: Path, tmp_path: Path, backend: str) -> None:
    lower, upper = save_adapter(base, tmp_path / "sft"), save_adapter(base, tmp_path / "dpo")
    config = Path(upper.path) / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": lower.path}))
    upper = describe_path(upper.path)
    assert upper.adapters == (lower.path,)
    with pytest.raises(SkilldeltaError, match="an adapter of an adapter"):
        adapter_rank(upper)
    with pytest.raises(SkilldeltaError, match="an adapter of an adapter"):
        lm_eval.model_arguments(upper, lm_eval.LmEvalOptions(backend))
    assert lm_eval.model_arguments(lower, lm_eval.LmEvalOptions(backend))["pretrained"] == str(base)


def test_an_adapter_that_vllm_would_misread_is_refused_behind_lm_eval(base: Path, tmp_path: Path) -> None:
    pissa = save_adapter(base, tmp_path / "pissa", init_lora_weights="pissa")
    with pytest.raises(SkilldeltaError, match="init_lora_weights pissa"):
        lm_eval.model_arguments(pissa, lm_eval.LmEvalOptions("vllm"))
    assert lm_eval.model_arguments(pissa, lm_eval.LmEvalOptions("hf"))["peft"] == pissa.path  # peft, which knows them
