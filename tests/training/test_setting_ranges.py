"""Numbers that a setting cannot mean are refused before anything is loaded; a negative micro-batch trained nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.trainers import sft
from harness.types import SkilldeltaError
from tests.test_cli import skilldelta

COUNTS = ("limit", "micro_batch", "max_steps", "lora", "save_steps", "save_limit", "eval_steps")
AT_LEAST_0 = ("eps", "weight_decay", "clip", "lora_alpha", "beta1", "beta2")
PLACES: dict[str, Any] = {"model": "gone", "data": ("gone.jsonl",), "out": "gone"}
TOO_MUCH: dict[str, Any] = {"seed": 2**63, "lora": 10**10, "beta1": 1.0, "beta2": 2.0, "limit": 10**400, "max_steps": 10**20}


@pytest.mark.parametrize("name", [*COUNTS, *AT_LEAST_0])
def test_a_negative_number_is_refused(name: str) -> None:
    with pytest.raises(SkilldeltaError, match=rf"--{name.replace('_', '-')} is -1.*: it must be at least 0"):
        sft.SFTConfig(**PLACES | {name: -1 if name in COUNTS else -1.0}).check()


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_number_beyond_what_it_can_mean_is_refused(name: str) -> None:
    flag = name.replace("_", "-")
    with pytest.raises(SkilldeltaError, match=f"--{flag} is .*: it must be at most") as error:
        sft.SFTConfig(**PLACES | {name: TOO_MUCH[name]}).check()
    assert len(str(error.value)) < 120


def test_a_seed_may_be_negative() -> None:
    sft.SFTConfig(**PLACES | {"seed": -1}).check()


@pytest.mark.parametrize("targets", ["nope", "(", "\x1b[31m", "norm"])
def test_names_of_modules_that_take_no_adapter_are_refused(targets: str, tiny: str, chats: str, tmp_path: object) -> None:
    lora: dict[str, Any] = {"lora": 2, "lora_targets": (targets,), "device": "cpu"}
    config = sft.SFTConfig(model=tiny, data=(chats,), out=f"{tmp_path}/run", max_steps=1, **lora)
    with pytest.raises(SkilldeltaError, match=r"can have no such adapter \(--lora-targets\): ") as error:
        sft.train(config)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("place", ["a\0b", "/proc/no/such/place"])
def test_an_output_folder_that_cannot_be_made_is_refused_by_its_name(
    place: str, tiny: str, chats: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"model": tiny, "data": [chats], "out": place, "max_steps": 1, "device": "cpu"}
    (tmp_path / "sft.yaml").write_text(json.dumps(settings))  # JSON is YAML
    code, _, err = skilldelta(capsys, "train", "sft", "--config", tmp_path / "sft.yaml")
    assert (code, "Traceback" in err) == (3, False), err
    assert (
        "no name of a folder holds a NUL" in err or f"{place} cannot be made: No such file or directory.  Name another" in err
    )
