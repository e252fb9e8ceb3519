"""Models for training: loaded in float32 without dropout, whole or with an adapter, on one device or sharded over several."""

from __future__ import annotations

import json
import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from harness import fingerprint
from harness.engine.device import default_device
from harness.training import parallel
from harness.training.forward import can_pack, has_plain_head, inner_model
from harness.training.settings import TrainerSettings
from harness.types import Checkpoint, SkilldeltaError

CAUSAL, CLASSIFIER = "CAUSAL_LM", "SEQ_CLS"  # peft's names of the two kinds


def training_device(config: TrainerSettings) -> torch.device:
    """The device of the settings, or the accelerator if there is one."""
    return default_device(config.device)


def autocast(config: TrainerSettings) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 if the settings ask for it."""
    is_bfloat16 = config.dtype == "bfloat16"
    return torch.autocast(training_device(config).type, torch.bfloat16) if is_bfloat16 else nullcontext()


def model_folder(model: str) -> str:
    """A model's own folder: a run folder stands for its last checkpoint, a Hub name for itself.

    Raises SkilldeltaError for a folder that holds neither a model nor checkpoints.
    """
    folder = Path(model)
    if not folder.is_dir() or any((folder / f).is_file() for f in ("config.json", "adapter_config.json")):
        return model
    checkpoints = [p for p in folder.glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdigit()]
    if not checkpoints:
        raise SkilldeltaError(f"{folder} holds neither a model (config.json) nor checkpoint-N folders.")
    return str(max(checkpoints, key=lambda p: int(p.name.removeprefix("checkpoint-"))))


def describe_model(model: str) -> dict[str, Any]:
    """A model's folder, the hashes of its parts, and the cost of its training if one of these trainers made it."""
    path = model_folder(model)
    facts = {"path": path, "fingerprint": fingerprint.hash_checkpoint(Checkpoint(Path(path).name, path, "transformers"))}
    file = Path(path) / "trainer_state.json"
    state = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    costs = state.get("stateful_callbacks", {}).get("skilldelta", {}).get("costs")
    return facts | ({"cost": {"total_flos": costs["flops"], "seconds": sum(costs["seconds"].values())}} if costs else {})


def load_model(kind: str, model: str, **more: Any) -> nn.Module:
    """A whole model (`kind`: CAUSAL or CLASSIFIER) in float32, dropout off; an adapter is merged into its base."""
    path = model_folder(model)
    auto = AutoModelForCausalLM if kind == CAUSAL else AutoModelForSequenceClassification
    adapter = Path(path) / "adapter_config.json"
    if adapter.is_file():
        from peft import PeftModel

        base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
        whole = PeftModel.from_pretrained(auto.from_pretrained(base, dtype=torch.float32, **more), path).merge_and_unload()
    else:
        whole = auto.from_pretrained(path, dtype=torch.float32, **more)
    return disable_dropout(whole)


def disable_dropout(model: Any) -> nn.Module:
    """The model in evaluation mode, and without dropout even where gradient checkpointing needs training mode.

    Policy and reference must differ by their weights alone, or DPO would not start at log 2 nor PPO's ratio at 1.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attn_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    evaluating: nn.Module = model.eval()
    return evaluating


def load_classifier(model: str, heads: tuple[str, ...], seed: int) -> nn.Module:
    """A reward model with one head per aspect on the weights of `model`; missing heads start small and random.

    New heads are normal with deviation 1 / sqrt(d + 1) (detail 9 of arXiv 2403.17031).  Raises SkilldeltaError for an
    architecture whose classifier has no linear `score` head.
    """
    labels, places = dict(enumerate(heads)), {head: i for i, head in enumerate(heads)}
    classifier: Any = load_model(CLASSIFIER, model, num_labels=len(heads), id2label=labels, label2id=places)
    if not isinstance(getattr(classifier, "score", None), nn.Linear):
        raise SkilldeltaError(f"{model} has no linear `score` head in transformers: no reward model can be made of it.")
    if not has_score_head(model_folder(model)):
        generator = torch.Generator().manual_seed(seed)
        weight = classifier.score.weight
        with torch.no_grad():
            weight.copy_(torch.randn(weight.shape, generator=generator) / math.sqrt(weight.shape[1] + 1))
    reward_model: nn.Module = classifier
    return reward_model


def has_score_head(path: str) -> bool:
    """Was this folder saved as a sequence classifier, or as the adapter of one?"""
    adapter, model = Path(path) / "adapter_config.json", Path(path) / "config.json"
    if adapter.is_file():
        return bool(json.loads(adapter.read_text(encoding="utf-8")).get("task_type") == CLASSIFIER)
    architectures = json.loads(model.read_text(encoding="utf-8")).get("architectures") if model.is_file() else None
    return any("SequenceClassification" in a for a in architectures or ())


def trainable_policy(config: TrainerSettings, checkpoint: Path | None = None) -> nn.Module:
    """The causal model to train, from the beginning or from a checkpoint of the same run."""
    source = str(checkpoint) if checkpoint and not config.lora else config.model
    return prepare_training(load_model(CAUSAL, source), config, CAUSAL, checkpoint)


def trainable_reward_model(config: TrainerSettings, heads: tuple[str, ...], checkpoint: Path | None = None) -> nn.Module:
    """The reward model to train, from the beginning or from a checkpoint of the same run."""
    source = str(checkpoint) if checkpoint and not config.lora else config.model
    return prepare_training(load_classifier(source, heads, config.seed), config, CLASSIFIER, checkpoint)


def reference_model(config: TrainerSettings, policy: nn.Module, is_untrained: bool) -> nn.Module:
    """The model that training starts from: the policy itself before its first step, else loaded again."""
    return policy if is_untrained else shard(place(load_model(CAUSAL, config.model), config), config)


def prepare_training(model: Any, config: TrainerSettings, kind: str, checkpoint: Path | None = None) -> nn.Module:
    """The model with its LoRA adapter (new, or that of a checkpoint) and gradient checkpointing, on its device."""
    if config.lora:
        from peft import LoraConfig, PeftModel, get_peft_model

        settings = LoraConfig(
            r=config.lora,
            lora_alpha=config.lora_alpha or 2 * config.lora,
            target_modules=list(config.lora_targets) or "all-linear",
            task_type=kind,
        )
        model.name_or_path = model_folder(config.model)
        resumed_model = checkpoint and PeftModel.from_pretrained(model, checkpoint, is_trainable=True)
        model = resumed_model or get_peft_model(model, settings)
    if config.checkpointing:
        inner = inner_model(model)
        enable = getattr(inner, "activation_checkpointing_enable", None) or inner.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        model.train()
    return place(model, config)


def place(model: nn.Module, config: TrainerSettings) -> nn.Module:
    """The model on its device.  A model to be sharded stays where it is, because no device may hold it whole."""
    return model if parallel.uses_shards(config.shard) else model.to(training_device(config))


def shard(model: nn.Module, config: TrainerSettings) -> nn.Module:
    """The model sharded over the processes, if the settings ask for it."""
    if parallel.uses_shards(config.shard):
        can_pack(model)  # these two measure whole models, and remember the verdict
        if inner_model(model).get_output_embeddings() is not None:
            has_plain_head(model)
        parallel.shard_model(inner_model(model), training_device(config))
    return model
