"""The base of adapters, where it was named in the same command."""

import json
import logging
from pathlib import Path

import pytest

from harness import api, discovery, hub_cache
from harness.checkpoint_selection import Selection
from harness.types import SkilldeltaError
from tests.checkpoints.test_public_layouts import ADAPTER, MODEL, STEP_ADAPTER, lay_out

HUB = "org-of-tests/Tiny-1B-Instruct"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two adapters of a Hub model, and a copy of it elsewhere; the Hub is not to be asked."""
    monkeypatch.setattr(hub_cache, "is_offline", lambda: True)
    steps = [f"runs/dpo/checkpoint-{n}/{STEP_ADAPTER}" for n in (5, 10)]
    work = lay_out(tmp_path, [*steps, f"models/Tiny-1B-Instruct/{MODEL}", f"models/Tiny-1B/{MODEL}"])
    for n in (5, 10):
        name_base(work / "runs" / "dpo" / f"checkpoint-{n}", HUB)
    return work


def name_base(folder: Path, base: str) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))


def bases(*paths: Path, **choice: str) -> list[str]:
    return [c.base for c in discovery.find_checkpoints([str(path) for path in paths], Selection(**choice)) if c.step]


def test_a_folder_of_the_bases_name_is_taken_and_this_is_said(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = work / "models" / "Tiny-1B-Instruct"
    with caplog.at_level(logging.WARNING, "skilldelta"):
        assert bases(work / "runs", folder) == [str(folder)] * 2
    assert f"dpo@5, dpo@10: the base {HUB} is taken to be {folder}" in caplog.text
    assert "--base FOLDER" in caplog.text
    assert bases(work / "runs", folder, match="dpo*") == [str(folder)] * 2, "also where the base itself is not chosen"


def test_a_base_that_the_user_names_is_taken_instead(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = str(work / "models" / "Tiny-1B")
    assert bases(work / "runs", work / "models" / "Tiny-1B-Instruct", base=other) == [other] * 2
    assert not caplog.records


def test_a_base_that_nothing_stands_on_is_refused(work: Path) -> None:
    """It changed nothing, without a word: whoever names one believes that adapters are scored."""
    whole, other = work / "models" / "Tiny-1B-Instruct", str(work / "models" / "Tiny-1B")
    with pytest.raises(SkilldeltaError, match=r"--base is for adapters: .*Tiny-1B-Instruct is a whole model"):
        bases(whole, base=other)
    with pytest.raises(SkilldeltaError, match="and 1 more are whole models"):
        bases(whole, Path(other), base=other)


def test_another_model_is_no_base(work: Path) -> None:
    assert bases(work / "runs", work / "models" / "Tiny-1B") == [HUB] * 2


def test_what_a_run_has_made_is_no_base(work: Path) -> None:
    trained = lay_out(work, [f"more/final_model/{MODEL}", f"more/run/checkpoint-3/{MODEL}"]) / "more"
    for base in ("sft/final_model", "sft/checkpoint-3"):
        name_base(work / "runs" / "dpo" / "checkpoint-5", base)
        assert bases(work / "runs" / "dpo" / "checkpoint-5", trained / "final_model")[0] == base
        assert bases(work / "runs" / "dpo" / "checkpoint-5", trained / "run")[0] == base


def test_of_two_folders_of_that_name_none_is_taken(work: Path) -> None:
    copies = lay_out(work, [f"copies/Tiny-1B-Instruct/{MODEL}"]) / "copies"
    assert bases(work / "runs", work / "models" / "Tiny-1B-Instruct", copies / "Tiny-1B-Instruct") == [HUB] * 2


@pytest.mark.parametrize("place", ["asked for", "in the cache"])
def test_a_base_that_can_be_had_is_had(work: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if place == "asked for":
        monkeypatch.setattr(hub_cache, "is_offline", lambda: False)
    else:
        monkeypatch.setattr(hub_cache, "snapshot_folder", lambda name, revision="": work)
    assert bases(work / "runs", work / "models" / "Tiny-1B-Instruct") == [HUB] * 2


def test_a_snapshot_of_the_hub_has_its_models_name(work: Path) -> None:
    hub = lay_out(work, [f"hub/models--org-of-tests--Tiny-1B-Instruct/snapshots/0123456789abcdef/{MODEL}"]) / "hub"
    (folder,) = hub.glob("*/snapshots/*")
    assert bases(work / "runs", folder) == [str(folder)] * 2


def test_a_baseline_is_the_base_of_those_that_race_with_it(work: Path) -> None:
    baseline = str(work / "models" / "Tiny-1B-Instruct")
    models = api.lazy_models([str(work / "runs")], baseline, api.Backend("scripted").loader())
    assert [model.checkpoint.base for model in models] == ["", baseline, baseline]


def test_an_adapter_upon_an_adapter_has_it_below_both(work: Path) -> None:
    sft = lay_out(work, [f"sft/{ADAPTER}"]) / "sft"
    name_base(sft, HUB)
    name_base(work / "runs" / "dpo" / "checkpoint-5", str(sft))
    folder = work / "models" / "Tiny-1B-Instruct"
    first = discovery.find_checkpoints([str(work / "runs"), str(folder)])[0]
    assert (first.base, first.adapters) == (str(folder), (str(sft),))
