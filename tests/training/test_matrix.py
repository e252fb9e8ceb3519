"""Adapter or all weights, float32 or bfloat16, activations kept or forgotten: every combination of every method."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness import registry
from harness.config import settings_class
from harness.training import policy_models
from harness.training.settings import TrainerSettings
from harness.types import Checkpoint
from tests.support.training_toy import chat, preference, text

METHODS = ("sft", "reward", "dpo", "ppo")
LOSS = {"sft": "loss", "reward": "loss", "dpo": "loss", "ppo": "loss/value_avg"}


@pytest.fixture(scope="session")
def setting(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each method needs besides: its data, and PPO a reward model."""
    folder = tmp_path_factory.mktemp("matrix")
    rows: dict[str, list[dict[str, Any]]] = {
        "sft": [chat(i) for i in range(16)],
        "pairs": [preference(i) for i in range(16)],
        "ppo": [{"question": text(i)} for i in range(16)],
    }
    for name, found in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    data = {name: {"data": (str(folder / f"{name}.jsonl"),)} for name in rows}
    short = {"samples": 4, "max_new": 6}
    judge = trained("reward", tiny, folder / "judge", data["pairs"] | short)
    long = {"minibatch": 4, "max_prompt": 64, "max_new": 6, "missing_end": -3.0, "reward": judge.path}
    return {"sft": data["sft"], "reward": data["pairs"] | short, "dpo": data["pairs"], "ppo": data["ppo"] | long}


def trained(method: str, model: str, out: Path, given: dict[str, Any]) -> Checkpoint:
    """The end of a run of two steps, with a checkpoint after each."""
    known = {"batch": 8, "max_steps": 2, "save_steps": 1, "log_steps": 1, "lr": 1e-3, "warmup": 0.0, "eps": 1e-3}
    plugin = registry.module("trainers", method)
    settings: TrainerSettings = settings_class(plugin)(model=model, out=str(out), **(known | given))
    found: Checkpoint = plugin.train(settings)
    return found


def weights(folder: str | Path, lora: int) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / ("adapter_model.safetensors" if lora else "model.safetensors"))


def contents(folder: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [0, 4])
@pytest.mark.parametrize("method", METHODS)
class TestEveryCombination:
    @pytest.mark.slow
    def test_learns_the_same_whether_activations_are_kept_or_forgotten(
        self, method: str, lora: int, dtype: str, tiny: str, setting: dict[str, dict[str, Any]], tmp_path: Path
    ) -> None:
        before = contents(tiny)
        given = setting[method] | {"lora": lora, "dtype": dtype}
        kept, frugal = (trained(method, tiny, tmp_path / str(c), given | {"checkpointing": c}) for c in (False, True))
        assert contents(tiny) == before
        for found in (kept, frugal):
            log = json.loads((Path(found.path) / "trainer_state.json").read_text())["log_history"]
            assert [math.isfinite(row[LOSS[method]]) for row in log] == [True, True]
        one, two = weights(kept.path, lora), weights(frugal.path, lora)
        assert {v.dtype for v in one.values()} == {torch.float32}  # bfloat16 is for the arithmetic alone
        assert all(torch.allclose(one[k], two[k], atol=1e-6 if dtype == "float32" else 1e-4) for k in one)
        first = weights(Path(kept.run) / "checkpoint-1", lora)
        assert not all(torch.equal(one[k], first[k]) for k in one)

    @pytest.mark.slow
    def test_goes_on_to_the_same_weights(
        self, method: str, lora: int, dtype: str, tiny: str, setting: dict[str, dict[str, Any]], tmp_path: Path
    ) -> None:
        given = setting[method] | {"lora": lora, "dtype": dtype, "checkpointing": True}
        whole = weights(trained(method, tiny, tmp_path / "run", given).path, lora)
        shutil.rmtree(tmp_path / "run/checkpoint-2")
        told = json.loads((tmp_path / "run/run.json").read_text())
        (tmp_path / "run/run.json").write_text(json.dumps(told | {"status": "running"}))
        again = trained(method, tiny, tmp_path / "run", given)
        assert again.step == 2
        assert all(torch.equal(value, weights(again.path, lora)[key]) for key, value in whole.items())


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_is_saved_without_its_base_and_loads_on_it(
    method: str, tiny: str, setting: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    found = trained(method, tiny, tmp_path / "run", setting[method] | {"lora": 4, "dtype": "bfloat16", "checkpointing": True})
    kind = policy_models.CLASSIFIER if method == "reward" else policy_models.CAUSAL
    told = json.loads((Path(found.path) / "adapter_config.json").read_text())
    assert (told["base_model_name_or_path"], told["task_type"]) == (tiny, kind)
    assert not (Path(found.path) / "model.safetensors").exists()
    base = policy_models.load_model(policy_models.CAUSAL, tiny).state_dict()
    merged = policy_models.load_model(kind, found.path, **({"num_labels": 1} if method == "reward" else {})).state_dict()
    moved = [k for k, value in base.items() if k in merged and not torch.equal(value, merged[k])]
    assert any("q_proj" in k for k in moved)
    assert not any("embed" in k or "norm" in k for k in moved)
