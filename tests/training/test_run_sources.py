"""A run goes on, or counts as done, with the content that it began with: names of files and folders say little."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.trainers import dpo, kto, sft
from harness.types import SkilldeltaError
from tests.support.training_toy import chat, preference

Rows = Callable[[str, Iterable[Any]], str]
SHARED: dict[str, Any] = {"batch": 8, "lr": 1e-3, "warmup": 0.0, "epochs": 1.0}


@pytest.fixture
def pairs(write: Rows) -> str:
    return write("pairs.jsonl", map(preference, range(16)))


@pytest.fixture
def base(tiny: str, tmp_path: Path) -> Path:
    """A model of this test's own, which it may replace."""
    return Path(shutil.copytree(tiny, tmp_path / "base"))


def stop_early(run: Path, step: int) -> None:
    """The run as it is where it was killed after a step."""
    for checkpoint in run.glob("checkpoint-*"):
        if int(checkpoint.name.rpartition("-")[2]) > step:
            shutil.rmtree(checkpoint)
    told = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(told | {"status": "running", "step": step}))


def replace_model(folder: Path) -> None:
    """Other weights under the same names."""
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


@pytest.mark.parametrize("is_done", [True, False])
def test_a_run_is_not_done_nor_goes_on_with_another_content_of_its_data(
    is_done: bool, tiny: str, pairs: str, tmp_path: Path
) -> None:
    settings = dpo.DPOConfig(model=tiny, data=(pairs,), out=str(tmp_path / "dpo"), save_steps=1, **SHARED)
    dpo.train(settings)
    if not is_done:
        stop_early(tmp_path / "dpo", 1)
    Path(pairs).write_text(Path(pairs).read_text().replace("e", "a", 1))
    with pytest.raises(SkilldeltaError, match=r"other content of .*pairs\.jsonl\.  Name another --output"):
        dpo.train(settings)


@pytest.mark.parametrize("is_done", [True, False])
def test_nor_with_another_model_of_the_same_name(is_done: bool, base: Path, pairs: str, tmp_path: Path) -> None:
    settings = dpo.DPOConfig(model=str(base), data=(pairs,), out=str(tmp_path / "dpo"), save_steps=1, **SHARED)
    dpo.train(settings)
    if not is_done:
        stop_early(tmp_path / "dpo", 1)
    replace_model(base)
    with pytest.raises(SkilldeltaError, match=rf"other content of {base}\."):
        dpo.train(settings)


def test_nor_with_a_later_checkpoint_of_the_run_it_started_from(tiny: str, pairs: str, write: Rows, tmp_path: Path) -> None:
    chats = write("chats.jsonl", map(chat, range(16)))
    sft.train(sft.SFTConfig(model=tiny, data=(chats,), out=str(tmp_path / "sft"), save_steps=1, **SHARED))
    later = tmp_path / "sft/checkpoint-2"
    later.rename(tmp_path / "aside")
    settings = dpo.DPOConfig(model=str(tmp_path / "sft"), data=(pairs,), out=str(tmp_path / "dpo"), **SHARED)
    dpo.train(settings)
    (tmp_path / "aside").rename(later)
    with pytest.raises(SkilldeltaError, match=r"sft/checkpoint-2 \(it began with .*sft/checkpoint-1\)"):
        dpo.train(settings)


def test_nor_with_other_held_out_rows(tiny: str, pairs: str, write: Rows, tmp_path: Path) -> None:
    heldout = write("heldout.jsonl", map(preference, range(16, 20)))
    settings = dpo.DPOConfig(model=tiny, data=(pairs,), eval_data=(heldout,), out=str(tmp_path / "dpo"), save_steps=1, **SHARED)
    dpo.train(settings)
    stop_early(tmp_path / "dpo", 1)
    write("heldout.jsonl", map(preference, range(20, 24)))
    with pytest.raises(SkilldeltaError, match=r"other content of .*heldout\.jsonl"):
        dpo.train(settings)


def test_a_run_of_one_trainer_is_none_of_another_with_the_same_settings(tiny: str, pairs: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"model": tiny, "data": (pairs,), "out": str(tmp_path / "run"), **SHARED}
    dpo.train(dpo.DPOConfig(**settings))
    with pytest.raises(SkilldeltaError, match="holds a run of the method dpo, and this one is kto"):
        kto.train(kto.KTOConfig(**settings))


def test_a_run_that_a_version_without_these_hashes_began_goes_on(tiny: str, pairs: str, tmp_path: Path) -> None:
    settings = dpo.DPOConfig(model=tiny, data=(pairs,), out=str(tmp_path / "dpo"), save_steps=1, **SHARED)
    dpo.train(settings)
    stop_early(tmp_path / "dpo", 1)
    told = json.loads((tmp_path / "dpo/run.json").read_text())
    (tmp_path / "dpo/run.json").write_text(json.dumps({k: v for k, v in told.items() if k not in ("files", "base", "method")}))
    assert dpo.train(settings).step == 2


def test_an_adapter_on_an_adapter_names_the_base_of_its_own_run(
    tiny: str, base: Path, write: Rows, pairs: str, tmp_path: Path
) -> None:
    """The folder may hold the merged base of a run that ended before its first checkpoint, or that started again."""
    chats = write("chats.jsonl", map(chat, range(16)))
    weights = load_file(base / "model.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in weights.items()}, base / "model.safetensors", {"format": "pt"})
    for name, model in (("one", tiny), ("two", str(base))):
        sft.train(sft.SFTConfig(model=model, data=(chats,), out=str(tmp_path / name), lora=2, **SHARED))
    for name, more in (("one", {}), ("two", {"resume": False})):
        settings: dict[str, Any] = {"data": (pairs,), "out": str(tmp_path / "dpo"), "lora": 2, **SHARED, **more}
        found = dpo.train(dpo.DPOConfig(model=str(tmp_path / name), **settings))
    named = json.loads((Path(found.path) / "adapter_config.json").read_text())["base_model_name_or_path"]
    embeddings = "model.embed_tokens.weight"
    merged, own = (load_file(Path(folder) / "model.safetensors")[embeddings] for folder in (named, base))
    assert torch.equal(merged, own)
