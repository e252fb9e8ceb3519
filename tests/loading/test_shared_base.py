"""Adapters of one base after one another: each gives the logits that plain peft gives when it is loaded alone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness.loading import model as loading
from harness.loading.settings import LoadSettings
from harness.loading.shared_base import BaseHolder, LoadedModel, take_base
from harness.types import Checkpoint
from tests.support import tiny

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # peft's, on tied heads and unusual layers
CPU = torch.device("cpu")
SETTINGS = LoadSettings(dtype=torch.float32)
IDS = torch.tensor([[2, 300, 20, 30, 5, 70, 80]])
TOLERANCE = 2e-4  # of logits of about 10: products of packed layers are summed in another order
TARGETS = ["q_proj", "v_proj"]


def lora(**settings: Any) -> peft.PeftConfig:
    options = {"r": 4, "lora_alpha": 16, "target_modules": TARGETS, "task_type": "CAUSAL_LM", "init_lora_weights": False}
    return peft.LoraConfig(**{**options, **settings})


@dataclass(frozen=True)
class Kind:
    """A kind of adapter, and what of the base is saved with it."""

    config: Callable[[], peft.PeftConfig]
    rows: int = 0  # of embeddings, where training added some
    saves_embeddings: bool = False
    saves_layer: bool = False  # a weight of the base that training changed
    base: dict[str, Any] = field(default_factory=dict)


UNTIED = {"tie_word_embeddings": False}
APART = {
    "lora": Kind(lora),
    "lora on embeddings": Kind(lambda: lora(target_modules=["embed_tokens", "q_proj"]), base=UNTIED),
    "lora on the head": Kind(lambda: lora(target_modules=["lm_head"]), base=UNTIED),
    "lora with biases of its own": Kind(lambda: lora(lora_bias=True)),
    "gaussian": Kind(lambda: lora(init_lora_weights="gaussian")),
    "orthogonal": Kind(lambda: lora(init_lora_weights="orthogonal")),
    "dora": Kind(lambda: lora(use_dora=True)),
    "rslora": Kind(lambda: lora(use_rslora=True, rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 3})),
    "some layers": Kind(lambda: lora(layers_to_transform=[1])),
    "adalora": Kind(
        lambda: peft.AdaLoraConfig(target_modules=TARGETS, init_lora_weights=False, total_step=10, tinit=1, tfinal=2)
    ),
    "ia3": Kind(
        lambda: peft.IA3Config(
            target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], init_ia3_weights=False
        )
    ),
    "loha": Kind(lambda: peft.LoHaConfig(r=4, target_modules=TARGETS, init_weights=False)),
    "lokr": Kind(lambda: peft.LoKrConfig(r=4, target_modules=TARGETS, init_weights=False)),
    "vera": Kind(lambda: peft.VeraConfig(r=4, target_modules=["q_proj"], init_weights=False)),
    "oft": Kind(lambda: peft.OFTConfig(oft_block_size=4, target_modules=TARGETS, init_weights=False)),
    "boft": Kind(lambda: peft.BOFTConfig(boft_block_size=4, target_modules=["q_proj"], init_weights=False)),
    "hra": Kind(lambda: peft.HRAConfig(target_modules=["q_proj"], init_weights=False)),
    "fourier": Kind(lambda: peft.FourierFTConfig(target_modules=["q_proj"], n_frequency=50)),
    "layer norms": Kind(lambda: peft.LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm"])),
}
CHANGING = {
    "pissa": Kind(lambda: lora(init_lora_weights="pissa")),
    "pissa by iterations": Kind(lambda: lora(init_lora_weights="pissa_niter_1")),
    "olora": Kind(lambda: lora(init_lora_weights="olora")),
    "mica": Kind(lambda: lora(init_lora_weights="mica")),
    "kasa": Kind(lambda: lora(init_lora_weights=True, kasa_config=peft.KasaConfig())),
    "saved embeddings": Kind(lora, saves_embeddings=True),
    "saved embeddings and head": Kind(lora, saves_embeddings=True, base=UNTIED),
    "more rows and saved embeddings": Kind(lora, rows=420, saves_embeddings=True),
    "more rows, saved embeddings and head": Kind(lora, rows=420, saves_embeddings=True, base=UNTIED),
    "fewer rows": Kind(lambda: lora(target_modules=["lm_head"]), rows=310, base=UNTIED),
    "more rows under an adapter": Kind(lambda: lora(target_modules=["lm_head"]), rows=420, base=UNTIED),
    "saved layer": Kind(lora, saves_layer=True),
    "modules": Kind(lambda: lora(modules_to_save=["lm_head", "embed_tokens"])),
    "norms": Kind(lambda: lora(modules_to_save=["norm"])),
    "bias": Kind(lambda: lora(bias="all"), base={"attention_bias": True}),
    "tokens": Kind(lambda: lora(trainable_token_indices=[300, 5])),
    "replicated layers": Kind(lambda: lora(layer_replication=[(0, 2), (1, 2)])),
    "parameters": Kind(lambda: lora(target_parameters=["model.layers.0.mlp.gate_proj.weight"])),
    "prompt": Kind(lambda: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)),
    "adaption prompt": Kind(lambda: peft.AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=3, adapter_layers=2)),
    "vblora": Kind(lambda: peft.VBLoRAConfig(target_modules=["q_proj"], r=2, num_vectors=8, vector_length=8, topk=2)),
}
KINDS = APART | CHANGING


def load_base(base: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32")


def save_checkpoint(base: Path, folder: Path, kind: Kind, seed: int) -> Checkpoint:
    torch.manual_seed(seed)
    model = load_base(base)
    if kind.rows:
        model.resize_token_embeddings(kind.rows, mean_resizing=False)
    adapted = peft.get_peft_model(model, kind.config())
    with torch.no_grad():
        for weights in adapted.parameters():
            if weights.requires_grad:
                weights.add_(0.1 * torch.randn_like(weights))
        if kind.saves_embeddings:
            model.get_input_embeddings().weight.add_(0.3 * torch.randn_like(model.get_input_embeddings().weight))
    adapted.save_pretrained(str(folder), save_embedding_layers=kind.saves_embeddings)
    if kind.saves_layer:
        file, name = folder / "adapter_model.safetensors", "model.layers.1.mlp.up_proj.weight"
        changed = 2 * model.get_parameter(name).detach() + torch.randn(64, 32)
        save_file(load_file(file) | {f"base_model.model.{name}": changed}, file)
    return Checkpoint(folder.name, str(folder), "peft", base=str(base))


def logits_alone(checkpoint: Checkpoint, kind: Kind) -> torch.Tensor:
    """By transformers and peft alone."""
    model = load_base(Path(checkpoint.base))
    torch.manual_seed(0)
    if kind.rows:
        model.resize_token_embeddings(kind.rows, mean_resizing=False)
    return read_logits(peft.PeftModel.from_pretrained(model, checkpoint.path).eval())


def read_logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    return logits[:, -IDS.shape[1] :].clone()


def read_user(user: LoadedModel) -> torch.Tensor:
    user.activate()
    return read_logits(user.model)


def assert_same(logits: torch.Tensor, expected: torch.Tensor, where: str) -> None:
    assert logits.shape == expected.shape, where
    assert (logits - expected).abs().max() < TOLERANCE, where


@dataclass(frozen=True)
class Case:
    """Two checkpoints of one kind and a plain adapter, each with its logits alone."""

    checkpoints: dict[str, Checkpoint]
    alone: dict[str, torch.Tensor]


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    kind = KINDS[request.param]
    base = tiny.llama(tmp_path / "base", **kind.base)
    kinds = {"first": kind, "second": kind, "plain": Kind(lora)}
    checkpoints = {name: save_checkpoint(base, tmp_path / name, kinds[name], seed) for seed, name in enumerate(kinds, 1)}
    return Case(checkpoints, {name: logits_alone(checkpoints[name], kinds[name]) for name in kinds})


@pytest.mark.slow
@pytest.mark.parametrize("case", KINDS, indirect=True)
def test_an_adapter_answers_as_alone_whatever_was_loaded_before_it(case: Case) -> None:
    assert not torch.allclose(case.alone["first"], case.alone["second"], atol=0.01)
    for order in (("first", "plain", "first", "second", "first"), ("plain", "second", "plain", "first", "second", "plain")):
        holder = BaseHolder()
        for place, name in enumerate(order):
            logits = read_user(holder.load(case.checkpoints[name], SETTINGS, CPU))
            gc.collect()
            assert_same(logits, case.alone[name], f"{name}, place {place} of {order}")


@pytest.mark.slow
@pytest.mark.parametrize("case", KINDS, indirect=True)
def test_adapters_in_use_side_by_side_answer_as_alone_in_any_order(case: Case) -> None:
    for order in (("first", "second", "plain"), ("plain", "second", "first")):
        holder = BaseHolder()
        users = {name: holder.load(case.checkpoints[name], SETTINGS, CPU) for name in order}
        for name in (*order, *reversed(order), *order):
            assert_same(read_user(users[name]), case.alone[name], f"{name} of {order}")


@pytest.mark.parametrize(
    "name", [name if name in ("lora", "ia3") else pytest.param(name, marks=pytest.mark.slow) for name in APART]
)
def test_a_base_whose_adapter_was_taken_out_is_what_it_was_bit_by_bit(name: str, tmp_path: Path) -> None:
    base = tiny.llama(tmp_path / "base", **APART[name].base)
    expected = load_base(base).state_dict()
    holder = BaseHolder()
    holder.load(save_checkpoint(base, tmp_path / "adapter", APART[name], 1), SETTINGS, CPU)
    gc.collect()
    assert holder.resident
    state = take_base(holder.resident).state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    "name", [name if name in ("pissa", "saved layer") else pytest.param(name, marks=pytest.mark.slow) for name in CHANGING]
)
def test_an_adapter_that_may_change_its_base_neither_takes_nor_leaves_a_shared_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny.llama(tmp_path / "base", **CHANGING[name].base)
    plain, changing = (save_checkpoint(base, tmp_path / f"{n}", kind, n) for n, kind in enumerate((Kind(lora), CHANGING[name])))
    loads = list[str]()
    original = loading.load_base

    def counted(source: str, settings: LoadSettings) -> Any:
        loads.append(source)
        return original(source, settings)

    monkeypatch.setattr(loading, "load_base", counted)
    holder = BaseHolder()
    for number, checkpoint in enumerate((plain, changing, plain), 1):
        holder.load(checkpoint, SETTINGS, CPU)
        gc.collect()
        assert len(loads) == number
