"""Models ready to be trained: from the beginning or from a checkpoint, whole or by an adapter, on one device or on several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from harness.training import parallel
from harness.training.forward import forks, plain_head
from harness.training.model_loading import CAUSAL, CLASSIFIER, classifier, core, device, load, resolve
from harness.training.settings import Settings


def policy(config: Settings, resumed: Path | None = None) -> nn.Module:
    """The causal model to be trained, from the beginning or from a checkpoint of the same run."""
    whole = str(resumed) if resumed and not config.lora else config.model
    return trainable(load(CAUSAL, whole), config, CAUSAL, resumed)


def reward_model(config: Settings, heads: tuple[str, ...], resumed: Path | None = None) -> nn.Module:
    """The reward model to be trained, from the beginning or from a checkpoint of the same run."""
    whole = str(resumed) if resumed and not config.lora else config.model
    return trainable(classifier(whole, heads, config.seed), config, CLASSIFIER, resumed)


def reference(config: Settings, policy: nn.Module, untouched: bool) -> nn.Module:
    """The model that training starts from: the policy itself while it is untouched, else loaded anew."""
    return policy if untouched else divided(placed(load(CAUSAL, config.model), config), config)


def trainable(model: Any, config: Settings, kind: str, resumed: Path | None = None) -> nn.Module:
    """The model ready to be trained: with its LoRA adapter (new, or that of a checkpoint), checkpointing, on its device."""
    if config.lora:
        from peft import LoraConfig, PeftModel, get_peft_model

        settings = LoraConfig(
            r=config.lora,
            lora_alpha=config.lora_alpha or 2 * config.lora,
            target_modules=list(config.lora_targets) or "all-linear",
            task_type=kind,
        )
        model.name_or_path = resolve(config.model)
        known = resumed and PeftModel.from_pretrained(model, resumed, is_trainable=True)
        model = known or get_peft_model(model, settings)
    if config.checkpointing:
        inner = core(model)
        enable = getattr(inner, "activation_checkpointing_enable", None) or inner.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        model.train()
    return placed(model, config)


def placed(model: nn.Module, config: Settings) -> nn.Module:
    """The model on its device; one that will be divided stays where it is until then, for no device may hold it whole."""
    return model if parallel.divides(config.shard) else model.to(device(config))


def divided(model: nn.Module, config: Settings) -> nn.Module:
    """The model divided among the processes, if that is asked for; what is tried on whole models is tried before."""
    if parallel.divides(config.shard):
        forks(model)
        if core(model).get_output_embeddings() is not None:
            plain_head(model)
        parallel.divide(core(model), device(config))
    return model
