"""Steps that would not fit in memory are computed in parts, with a word, and reach the same weights."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness import registry
from harness.config import settings_class
from harness.training import memory_bounds, policy_models
from harness.training.memory_bounds import activation_bytes, bound_rows, kept_bytes
from harness.training.settings import TrainerSettings
from tests.support.training_toy import chat, label, preference, text

METHODS = ("sft", "reward", "dpo", "kto", "ppo", "grpo")


def test_a_pass_keeps_as_many_bytes_for_each_token_as_were_measured(tiny: str) -> None:
    model = policy_models.trainable_policy(TrainerSettings(model=tiny), None)
    each = activation_bytes(model, TrainerSettings())
    length = 4 * memory_bounds.PROBE_TOKENS
    assert kept_bytes(model, length, TrainerSettings()) == pytest.approx(each * length, rel=0.05)
    width = model.config.hidden_size
    assert each > 4 * width * model.config.num_hidden_layers  # at least the input of each layer, in float32


def test_rows_are_bounded_where_they_do_not_fit_and_nowhere_else(
    tiny: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = TrainerSettings(model=tiny)
    model = policy_models.trainable_policy(config, None)
    row = activation_bytes(model, config) * 100
    monkeypatch.setattr(memory_bounds, "device_memory", lambda device: int(2 * 8.5 * row))  # of which half are for 8 rows
    with caplog.at_level(logging.WARNING, "skilldelta"):
        assert bound_rows(config, model, [100] * 20, 8) is config
        assert bound_rows(replace(config, micro_batch=16), model, [100] * 20, 16).micro_batch == 16  # as the user says
        assert bound_rows(config, model, [100] + [10] * 20, 16) is config  # most rows are short
        assert bound_rows(config, model, [100] * 20, 1) is config
        assert bound_rows(replace(config, batch=4), model, [100] * 20, 16).micro_batch == 0  # a step has no more rows
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "skilldelta"):
        assert bound_rows(config, model, [100] * 20, 16).micro_batch == 8
        assert bound_rows(config, model, [100] * 20, 8, passes=2).micro_batch == 7
        assert bound_rows(config, model, [1000] * 20, 8).micro_batch == 1
    assert "16 rows of up to 100 tokens at once would need about" in caplog.text
    assert "--micro-batch sets another number" in caplog.text


@pytest.fixture(scope="module")
def sources(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("bounds")
    rows: dict[str, list[dict[str, Any]]] = {
        "sft": [chat(i) for i in range(8)],
        "dpo": [preference(i) for i in range(8)],
        "kto": [label(i, i % 2 == 0) for i in range(8)],
        "ppo": [{"question": text(i)} for i in range(8)],
    }
    for name, found in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    data = {name: {"data": (str(folder / f"{name}.jsonl"),)} for name in rows}
    judge = run("reward", tiny, folder / "judge", data["dpo"] | {"samples": 4, "max_new": 6})
    prompts = data["ppo"] | {"max_prompt": 64, "max_new": 6, "reward": judge}
    return data | {"reward": data["dpo"] | {"samples": 4, "max_new": 6}, "ppo": prompts | {"minibatch": 8},
                   "grpo": prompts | {"rollouts": 2}}  # fmt: skip


def run(method: str, model: str, out: Path, settings: dict[str, Any]) -> str:
    known = {"batch": 8, "max_steps": 2, "lr": 1e-3, "warmup": 0.0, "eps": 1e-3}
    plugin = registry.module("trainers", method)
    path: str = plugin.train(settings_class(plugin)(model=model, out=str(out), **(known | settings))).path
    return path


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_reaches_the_same_weights_in_parts(
    method: str,
    tiny: str,
    sources: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = load_file(Path(run(method, tiny, tmp_path / "whole", sources[method])) / "model.safetensors")
    assert "at once would need" not in caplog.text
    monkeypatch.setattr(memory_bounds, "device_memory", lambda device: 1)
    parts = load_file(Path(run(method, tiny, tmp_path / "parts", sources[method])) / "model.safetensors")
    assert "1 are computed at once" in caplog.text
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, atol=1e-4, rtol=1e-3)
