"""The load contract: what the list says of a folder is what loading it does, for every producer and every damage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from harness import discovery, hub_cache
from harness.backends.transformers import TransformersOptions, load
from harness.checkpoint_selection import Selection
from harness.cli.listing import listing_row
from harness.loading.contract import check_contract
from harness.loading.model import load_checkpoint, load_merged
from harness.loading.settings import LoadSettings
from harness.types import Checkpoint, SkilldeltaError
from tests.loading import folders
from tests.loading.folders import ADAPTER_DAMAGES, DAMAGES, Tensors, change_config, change_tensors, copy, save_lora
from tests.support import tiny


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("contract") / "base", tie_word_embeddings=False)


@pytest.fixture(scope="module")
def lora(base: Path) -> Path:
    return save_lora(base, base.parent / "lora")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def only(folder: Path, selection: Selection = Selection()) -> Checkpoint:
    (checkpoint,) = discovery.find_checkpoints([str(folder)], selection)
    return checkpoint


def is_scored(checkpoint: Checkpoint) -> bool:
    """Whether the backend takes it, as `score` does."""
    if checkpoint.problem:
        return False
    try:
        load(checkpoint, TransformersOptions(device="cpu"))
    except SkilldeltaError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_named_and_scoring_agrees(base: Path, tmp_path: Path, damage: str) -> None:
    make, words = DAMAGES[damage]
    make(copy(base, tmp_path / "run" / "damaged"))
    copy(base, tmp_path / "run" / "whole")
    rows = {c.name: listing_row(c) for c in discovery.find_checkpoints([str(tmp_path / "run")])}
    assert words in rows["damaged"]["problem"]
    assert rows["whole"]["ready"], "a damaged checkpoint hides its neighbour"
    assert not is_scored(only(tmp_path / "run" / "damaged"))


@pytest.mark.parametrize("damage", ADAPTER_DAMAGES)
def test_a_damaged_adapter_is_named_and_scoring_agrees(lora: Path, tmp_path: Path, damage: str) -> None:
    make, words = ADAPTER_DAMAGES[damage]
    make(copy(lora, tmp_path / "damaged"))
    checkpoint = only(tmp_path / "damaged")
    assert words in listing_row(checkpoint)["problem"]
    assert not is_scored(checkpoint)


def old_names(tensors: Tensors) -> Tensors:
    """With what older versions saved, and PPO's value head."""
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4), "v_head.summary.weight": torch.ones(1, 32)}
    return tensors | extra


WHOLE: dict[str, Callable[[Path], object]] = {
    "as saved": lambda f: None,
    "in shards": folders.shard,
    "as .bin": lambda f: (torch.save(load_file(f / folders.WHOLE), f / "pytorch_model.bin"), (f / folders.WHOLE).unlink()),
    "both, the same": lambda f: torch.save(load_file(f / folders.WHOLE), f / "pytorch_model.bin"),
    "with buffers and a value head": lambda f: change_tensors(f, old_names),
    "behind links": lambda f: (shutil.move(f / folders.WHOLE, f.parent / "blob"), (f / folders.WHOLE).symlink_to("../blob")),
    "in bfloat16": lambda f: change_tensors(f, lambda t: {k: v.bfloat16() for k, v in t.items()}),
}


@pytest.mark.slow
def test_a_quantization_that_transformers_does_not_know_is_passed_over_as_there_and_said(base: Path, tmp_path: Path) -> None:
    change_config(copy(base, tmp_path / "model"), quantization_config={"quant_method": "nobody"})
    row = listing_row(only(tmp_path / "model"))
    note = "'nobody', which quantized its weights by config.json, is not known: they are loaded as they are"
    assert (row["problem"], row["note"], is_scored(only(tmp_path / "model"))) == ("", note, True)
    assert load(only(tmp_path / "model"), TransformersOptions(device="cpu")).note == note


def test_small_numbers_by_a_quantization_that_transformers_does_not_know_are_refused(base: Path, tmp_path: Path) -> None:
    folder = copy(base, tmp_path / "model")
    change_config(folder, quantization_config={"quant_method": "nobody"})
    change_tensors(folder, lambda t: {k: v.to(torch.float8_e4m3fn) if v.ndim > 1 else v for k, v in t.items()})
    problem = listing_row(only(folder))["problem"]
    assert "have 8 bits or fewer" in problem
    assert "'nobody'" in problem


def test_an_adapter_whose_kind_cannot_be_checked_is_said_to_be_unchecked(lora: Path, tmp_path: Path) -> None:
    settings = {
        "peft_type": "XLORA",
        "base_model_name_or_path": str(lora.parent / "base"),
        "hidden_size": 32,
        "adapters": {"a": "b"},
    }
    (copy(lora, tmp_path / "mixture") / "adapter_config.json").write_text(json.dumps(settings))
    row = listing_row(only(tmp_path / "mixture"))
    assert (row["problem"], row["note"]) == ("", "unchecked: adapters of the kind XLORA")


@pytest.mark.slow
@pytest.mark.parametrize("shape", WHOLE)
def test_what_is_whole_is_ready_and_scored(base: Path, tmp_path: Path, shape: str) -> None:
    WHOLE[shape](copy(base, tmp_path / "model"))
    assert listing_row(only(tmp_path / "model"))["problem"] == ""
    assert is_scored(only(tmp_path / "model"))


IDLE: dict[str, Callable[[Path], object]] = {
    "every lora_B is zero": lambda f: change_tensors(f, lambda t: {k: v * ("lora_A" in k) for k, v in t.items()}),
    "every lora_A is zero": lambda f: change_tensors(f, lambda t: {k: v * ("lora_B" in k) for k, v in t.items()}),
    "all of its products": lambda f: change_tensors(
        f, lambda t: {k: v * (("lora_A" in k) == ("layers.0" in k)) for k, v in t.items()}
    ),
    "its lora_alpha is 0": lambda f: change_config(f, "adapter_config.json", lora_alpha=0),
}


@pytest.mark.slow
@pytest.mark.parametrize("reason", IDLE)
def test_a_lora_that_changes_nothing_is_named_by_the_list_and_by_scoring(lora: Path, tmp_path: Path, reason: str) -> None:
    IDLE[reason](copy(lora, tmp_path / "idle"))
    row = listing_row(only(tmp_path / "idle"))
    assert row["ready"]
    assert f"changes nothing: {reason}" in row["note"]
    assert f"changes nothing: {reason}" in load(only(tmp_path / "idle"), TransformersOptions(device="cpu")).note


def test_a_lora_that_changes_something_is_ready_without_a_word(lora: Path, tmp_path: Path) -> None:
    half = copy(lora, tmp_path / "half")
    change_tensors(half, lambda t: {k: v * ("layers.0" not in k) for k, v in t.items()})
    for row in map(listing_row, map(only, (lora, half))):
        assert (row["ready"], row["note"]) == (True, "")


@pytest.mark.parametrize("kind", [peft.IA3Config, peft.LoHaConfig, peft.VeraConfig])
def test_other_adapters_before_their_first_step_are_named(base: Path, tmp_path: Path, kind: Callable[..., Any]) -> None:
    targets = {"target_modules": ["down_proj"]} | ({"feedforward_modules": ["down_proj"]} if kind is peft.IA3Config else {})
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    peft.get_peft_model(model, kind(task_type="CAUSAL_LM", **targets)).save_pretrained(str(tmp_path / "new"))
    change_config(tmp_path / "new", "adapter_config.json", base_model_name_or_path=str(base))
    assert "changes nothing" in listing_row(only(tmp_path / "new"))["note"]


def test_the_base_is_resized_to_what_the_adapter_was_trained_on(base: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    model.resize_token_embeddings(model.config.vocab_size + 3, mean_resizing=False)
    settings = {"r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM", "init_lora_weights": False}
    adapted = peft.get_peft_model(model, peft.LoraConfig(**settings, modules_to_save=["embed_tokens", "lm_head"]))
    adapted.save_pretrained(str(tmp_path / "resized"), save_embedding_layers=True)
    change_config(tmp_path / "resized", "adapter_config.json", base_model_name_or_path=str(base))
    checkpoint = only(tmp_path / "resized")
    assert check_contract(checkpoint).problem == ""
    ids = torch.arange(20)[None]
    loaded = load_checkpoint(checkpoint, LoadSettings()).eval()
    with torch.no_grad():
        assert torch.equal(loaded(input_ids=ids).logits, adapted.eval()(input_ids=ids).logits)


def test_an_adapter_on_an_adapter_is_loaded_upon_it(base: Path, lora: Path, tmp_path: Path) -> None:
    merged = load_merged(str(lora), LoadSettings())
    merged.save_pretrained(tmp_path / "merged")
    top = save_lora(tmp_path / "merged", tmp_path / "top")
    expected = load_merged(str(top), LoadSettings()).state_dict()
    change_config(top, "adapter_config.json", base_model_name_or_path=str(lora))
    checkpoint = only(top)
    assert (checkpoint.base, checkpoint.adapters) == (str(base), (str(lora),))
    assert check_contract(checkpoint).problem == ""
    for name, value in load_merged(str(top), LoadSettings()).state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-6)


def test_the_base_is_looked_for_near_the_adapter_and_can_be_named(base: Path, lora: Path, tmp_path: Path) -> None:
    change_config(
        copy(lora, tmp_path / "runs" / "dpo"), "adapter_config.json", base_model_name_or_path="/home/other/models/sft"
    )
    assert "--base DIR" in only(tmp_path / "runs" / "dpo").problem
    assert only(tmp_path / "runs" / "dpo", Selection(base=str(base))).base == str(base)
    copy(base, tmp_path / "sft")
    assert only(tmp_path / "runs" / "dpo").base == str(tmp_path / "sft")
    with pytest.raises(SkilldeltaError, match="--base nowhere: there is no such folder"):
        only(tmp_path / "runs" / "dpo", Selection(base="nowhere"))


def test_a_base_can_be_a_model_of_the_hub_with_a_revision(lora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_cache, "is_offline", lambda: False)
    assert only(lora, Selection(base="org/model@step_100")).base == "org/model@step_100"
    monkeypatch.setattr(hub_cache, "is_offline", lambda: True)
    with pytest.raises(
        SkilldeltaError, match="--base org/model@step_100: there is no such folder here, it is not in the Hub's"
    ):
        only(lora, Selection(base="org/model@step_100"))


def test_adapters_without_end_are_no_base(lora: Path, tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        change_config(copy(lora, tmp_path / name), "adapter_config.json", base_model_name_or_path=str(tmp_path / other))
    assert "without end" in only(tmp_path / "a").problem


@pytest.mark.parametrize(
    ("log", "method"), [({"loss": 1.0, "reward": 0.5}, "ppo"), ({"acc_mean": 1.0, "loss_mean": 0.5}, "reward")]
)
def test_a_value_head_is_a_policys_where_the_log_says_so(
    base: Path, tmp_path: Path, log: dict[str, float], method: str
) -> None:
    folder = copy(base, tmp_path / "model")
    (folder / "value_head.safetensors").write_bytes(b"")
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": [log | {"step": 1}]}))
    checkpoint = only(folder)
    assert (checkpoint.method, bool(checkpoint.problem)) == (method, method == "reward")
    (folder / "trainer_state.json").unlink()
    assert "a reward model (value_head.safetensors lies next to its weights)" in only(folder).problem


def test_training_asks_the_same_contract(base: Path, tmp_path: Path) -> None:
    DAMAGES["wrapped by torch.compile"][0](copy(base, tmp_path / "wrapped"))
    with pytest.raises(SkilldeltaError, match=r"lacks .* begin with '_orig_mod\.'"):
        load_merged(str(tmp_path / "wrapped"), LoadSettings())
    classifier = load_merged(str(base), LoadSettings(head="classifier", config={"num_labels": 1}))
    assert classifier.score.weight.shape[0] == 1


def test_headers_alone_are_read(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is placed on the device without memory: no tensor of the file is read."""
    monkeypatch.setattr("safetensors.safe_open", lambda *_: pytest.fail("weights are read"))
    assert check_contract(only(base)).problem == ""
