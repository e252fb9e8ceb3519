"""Training that starts from adapters whose base, or models whose tokenizer, the user names."""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from harness.discovery import find_checkpoints
from harness.trainers import dpo, ppo, reward, sft
from harness.training.needs import read_needs
from harness.training.preview import preview_rows
from harness.types import SkilldeltaError
from tests.support.training_toy import chat, preference

Rows = Callable[[str, Iterable[Any]], str]
STEPS: dict[str, Any] = {"lora": 4, "lr": 0.02, "batch": 8, "warmup": 0.0, "max_steps": 2}


def move_away(run: Path) -> Path:
    """Makes the last adapter of a run one from another machine."""
    folder = max(run.glob("checkpoint-*"))
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/home/other/models/base"}))
    for file in folder.glob("token*"):
        file.unlink()
    return folder


@pytest.fixture
def foreign(tiny: str, write: Rows, tmp_path: Path) -> Path:
    """An adapter of `tiny` that names a folder of another machine as its base, and holds no tokenizer."""
    data = (write("chats.jsonl", map(chat, range(16))),)
    sft.train(sft.SFTConfig(model=tiny, data=data, out=str(tmp_path / "sft"), **STEPS))
    shutil.copytree(tmp_path / "sft", tmp_path / "foreign")
    return move_away(tmp_path / "foreign")


@pytest.fixture
def pairs(write: Rows) -> str:
    return write("pairs.jsonl", map(preference, range(16)))


@pytest.mark.slow
def test_a_run_from_a_foreign_adapter_is_the_run_from_its_own(tiny: str, foreign: Path, pairs: str, tmp_path: Path) -> None:
    settings = dpo.DPOConfig(model=str(tmp_path / "sft"), data=(pairs,), out=str(tmp_path / "own"), **STEPS)
    expected = dpo.train(settings)
    before = (foreign / "adapter_config.json").read_bytes()
    with pytest.raises(SkilldeltaError, match="base"):
        dpo.train(replace(settings, model=str(foreign), out=str(tmp_path / "lost")))
    checkpoint = dpo.train(replace(settings, model=str(foreign), base=tiny, out=str(tmp_path / "dpo")))
    weights, others = (load_file(Path(c.path) / "adapter_model.safetensors") for c in (checkpoint, expected))
    assert weights.keys() == others.keys()
    assert all((weights[name] == others[name]).all() for name in weights)
    assert (foreign / "adapter_config.json").read_bytes() == before
    assert [c.step for c in find_checkpoints([str(tmp_path / "dpo")])] == [2]
    assert dpo.train(replace(settings, model=str(foreign), base=tiny, out=str(tmp_path / "dpo"))) == checkpoint


@pytest.mark.slow
def test_the_reward_model_has_its_base_named_too(tiny: str, foreign: Path, pairs: str, write: Rows, tmp_path: Path) -> None:
    judge = reward.RewardConfig(model=str(foreign), base=tiny, data=(pairs,), out=str(tmp_path / "judge"), **STEPS)
    reward.train(judge)
    shutil.rmtree(tmp_path / "judge" / "_start")
    prompts = write("prompts.jsonl", [{"prompt": preference(i)["prompt"]} for i in range(8)])
    settings = ppo.PPOConfig(
        model=str(foreign), base=tiny, reward=str(move_away(tmp_path / "judge")), data=(prompts,), out=str(tmp_path / "ppo"),
        **STEPS | {"batch": 4, "max_steps": 1}, minibatch=4, max_new=4,
    )  # fmt: skip
    assert ppo.train(settings).step == 1


@pytest.mark.slow
def test_a_tokenizer_from_elsewhere_and_rows_that_are_shown(tiny: str, foreign: Path, pairs: str, tmp_path: Path) -> None:
    for file in (elsewhere := Path(shutil.copytree(tiny, tmp_path / "tokenizer"))).glob("*.safetensors"):
        file.unlink()
    settings = dpo.DPOConfig(model=str(foreign), base=tiny, tokenizer=str(elsewhere), data=(pairs,), out=str(tmp_path / "new"))
    shown = list(preview_rows(settings, read_needs("dpo"), 2))
    assert len(shown) == 4
    assert shown == list(preview_rows(replace(settings, model=tiny, base="", tokenizer=""), read_needs("dpo"), 2))
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_what_cannot_be_named_is_refused(tiny: str, foreign: Path, pairs: str, tmp_path: Path) -> None:
    settings = dpo.DPOConfig(model=tiny, data=(pairs,), out=str(tmp_path / "new"))
    for more, reason in (
        ({"base": tiny}, "--base is for adapters"),
        ({"model": str(foreign), "base": str(tmp_path / "nowhere")}, "nowhere: there is no such folder"),
        ({"tokenizer": str(tmp_path / "nowhere")}, "nowhere: there is no such folder"),
        ({"model": "org/model", "tokenizer": tiny}, "model of the Hub"),
    ):
        with pytest.raises(SkilldeltaError, match=reason):
            dpo.train(replace(settings, **more))
