"""Values of weights are read once for all checkpoints that share them, and anew where a file was replaced."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.integrity import ADAPTER_CONFIG
from harness.loading import contract
from harness.types import Checkpoint


def weights(folder: Path, value: float, name: str = "model.safetensors") -> Path:
    folder.mkdir(exist_ok=True)
    save_file({"a.weight": torch.full((2, 2), value), "b.weight": torch.ones(3)}, folder / name)
    return folder


def adapter(folder: Path, base: Path) -> Checkpoint:
    weights(folder, 0.5, "adapter_model.safetensors")
    (folder / ADAPTER_CONFIG).write_text("{}")
    return Checkpoint(folder.name, str(folder), "peft", base=str(base))


def test_a_base_that_adapters_share_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, plain = [], contract.open_tensors
    monkeypatch.setattr(contract, "open_tensors", lambda files, names: opened.append(files[0].name) or plain(files, names))
    base = weights(tmp_path / "base", 1.0)
    for name in ("dpo", "ppo", "kto"):
        assert contract.find_infinite(adapter(tmp_path / name, base)) == ""
    assert opened.count("model.safetensors") == 1


@pytest.mark.parametrize(
    ("value", "reason"), [(float("nan"), "no numbers"), (float("-inf"), "no numbers"), (1e35, "which overflow"), (0.0, "zero")]
)
def test_a_file_that_was_replaced_is_read_anew(value: float, reason: str, tmp_path: Path) -> None:
    checkpoint = Checkpoint("m", str(weights(tmp_path / "m", 1.0)), "transformers")
    assert contract.find_infinite(checkpoint) == ""
    weights(tmp_path / "new", value)
    (tmp_path / "new" / "model.safetensors").replace(tmp_path / "m" / "model.safetensors")
    assert reason in contract.find_infinite(checkpoint)
