"""Training starts from what scoring would load: a folder that breaks the load contract is refused by name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.trainers import dpo, reward
from harness.training import model_loading
from harness.training.tokenization import load_tokenizer
from harness.types import SkilldeltaError
from tests.loading.folders import Tensors, change_tensors, copy, one_layer, save_lora
from tests.support import tiny as tiny_models

DAMAGES: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "torch.compile": (lambda t: {f"_orig_mod.{k}": v for k, v in t.items()}, "Their names begin with '_orig_mod.'"),
    "DataParallel": (lambda t: {f"module.{k}": v for k, v in t.items()}, "Their names begin with 'module.'"),
    "a layer missing": (lambda t: {k: v for k, v in t.items() if "layers.0.mlp" not in k}, "lacks"),
    "another shape": (lambda t: {k: v[:-1] if k.endswith("up_proj.weight") else v for k, v in t.items()}, "has the shape"),
    "not a number": (one_layer("mlp.up_proj", float("nan")), "no numbers, NaN or infinite"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_dpo_starts_from_no_folder_that_breaks_the_contract(damage: str, tiny: str, pairs: str, tmp_path: Path) -> None:
    change, words = DAMAGES[damage]
    change_tensors(copy(Path(tiny), tmp_path / "damaged"), change)
    with pytest.raises(SkilldeltaError, match=words) as error:
        dpo.train(dpo.DPOConfig(model=str(tmp_path / "damaged"), data=(pairs,), out=str(tmp_path / "run")))
    assert "damaged" in str(error.value)
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.parametrize("damage", ["torch.compile", "not a number"])
def test_a_reward_model_neither(damage: str, tiny: str, pairs: str, tmp_path: Path) -> None:
    change, words = DAMAGES[damage]
    change_tensors(copy(Path(tiny), tmp_path / "damaged"), change)
    with pytest.raises(SkilldeltaError, match=words):
        reward.train(reward.RewardConfig(model=str(tmp_path / "damaged"), data=(pairs,), out=str(tmp_path / "run")))


def test_an_adapter_that_lands_nowhere_is_no_start(tiny: str, pairs: str, tmp_path: Path) -> None:
    folder = save_lora(Path(tiny), tmp_path / "lora")
    change_tensors(folder, lambda t: {k.replace("model.model.", "model.module.model."): v for k, v in t.items()})
    with pytest.raises(SkilldeltaError, match="does not fit its base"):
        dpo.train(dpo.DPOConfig(model=str(folder), data=(pairs,), out=str(tmp_path / "run")))


def test_an_adapter_with_values_that_are_no_numbers_is_no_start(tiny: str, pairs: str, tmp_path: Path) -> None:
    folder = save_lora(Path(tiny), tmp_path / "lora")
    change_tensors(folder, lambda t: {k: torch.full_like(v, float("inf")) if "lora_B" in k else v for k, v in t.items()})
    with pytest.raises(SkilldeltaError, match="no numbers"):
        dpo.train(dpo.DPOConfig(model=str(folder), data=(pairs,), out=str(tmp_path / "run")))


def test_weights_lie_where_torch_puts_its_own(tmp_path: Path) -> None:
    """Tensors of a file begin behind its header, wherever that ends, and some kernels round by where a tensor begins."""
    folder = tiny_models.llama(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    for padding in (0, 8, 24):
        save_file(weights, folder / "model.safetensors", {"format": "pt", "padding": " " * padding})
        model = model_loading.load_model(model_loading.CAUSAL, str(folder))
        assert {weight.data_ptr() % model_loading.ALIGNMENT for weight in model.parameters()} == {0}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_of_settings_without_end_is_refused_before_it_is_read(name: str, tiny: str, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    (folder / name).unlink()
    with (folder / name).open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(SkilldeltaError, match=f"{name} has more than .* bytes: it is not read"):
        load_tokenizer(str(folder))
