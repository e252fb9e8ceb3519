"""Training on a disk that is full: libraries in other languages write the weights, and what they say is understood."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from harness.system_errors import LARGER, ROOM, explain_system_error
from harness.trainers import sft
from harness.types import SkilldeltaError
from tests.conftest import ROOT
from tests.support.disk_faults import largest_file
from tests.support.small_disk import NOT_ALLOWED
from tests.support.training_toy import chat

Rows = Callable[[str, Iterable[Any]], str]
# Bytes that a file may have: less than run.json, the tokenizer, the weights (safetensors), the optimizer (torch).
SIZES = (1000, 8000, 60_000, 200_000)
ROOMS = (0, 4096, 40_960, 102_400, 204_800, 385_024, 409_600, 520_192)  # bytes; one checkpoint has 400 KB


def train(tiny: str, data: str, run: Path) -> None:
    sft.train(sft.SFTConfig(model=tiny, data=(data,), out=str(run), lr=3e-3, batch=4, max_steps=2, save_steps=1))


def weights(run: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in run.glob("*/model.safetensors")}


def check_whole(names: Iterable[str]) -> None:
    """Nothing but run.json, and checkpoints that have all their files."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.rpartition("/")[0], []).append(name.rpartition("/")[2])
    assert folders.pop("", ["run.json"]) == ["run.json"]
    for folder, files in folders.items():
        assert folder.startswith("checkpoint-")
        assert {"model.safetensors", "optimizer.pt", "rng_state.pth", "tokenizer.json", "trainer_state.json"} <= set(files)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_a_file_that_cannot_grow_ends_training_by_name_and_the_same_command_goes_on(
    size: int, tiny: str, write: Rows, tmp_path: Path
) -> None:
    data, run = write("chats.jsonl", map(chat, range(8))), tmp_path / "run"
    with largest_file(size), pytest.raises((OSError, SkilldeltaError)) as refusal:
        train(tiny, data, run)
    reason = explain_system_error(refusal.value) or str(refusal.value)
    words = {f"File too large: {run}": LARGER, f"No space left on device: {run}": ROOM}  # a library may not say which it was
    assert [way in reason for start, way in words.items() if reason.startswith(start)] == [True], reason
    check_whole(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    train(tiny, data, run)
    assert {path.parent.name for path in run.glob("*/trainer_state.json")} == {"checkpoint-1", "checkpoint-2"}


@pytest.mark.slow
def test_on_a_small_disk_of_its_own_training_ends_by_name_wherever_the_room_ends(
    tiny: str, write: Rows, tmp_path: Path
) -> None:
    data, place = write("chats.jsonl", map(chat, range(8))), tmp_path / "disk"
    place.mkdir()
    command = [sys.executable, "-m", "tests.support.small_disk", str(place), tiny, data, *map(str, ROOMS)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if process.returncode == NOT_ALLOWED:
        pytest.skip(f"no file system may be made here: {process.stderr}")
    assert process.returncode == 0, process.stderr
    train(tiny, data, tmp_path / "whole")
    whole = weights(tmp_path / "whole")
    trials = [json.loads(line) for line in process.stdout.splitlines()]
    assert [trial["room"] for trial in trials] == list(ROOMS)
    for trial in trials:
        assert trial["reason"].startswith(f"No space left on device: {place}/run"), trial["room"]
        assert ROOM in trial["reason"]
        check_whole(trial["files"])
        assert trial["after"] == ""
        # Two processes: their threads may add up a sum in another order.
        assert trial["weights"].keys() == whole.keys()
        for name, text in trial["weights"].items():
            torch.testing.assert_close(load(bytes.fromhex(text)), load(whole[name]), rtol=1e-4, atol=1e-4)
