"""Models as they are loaded: whole, in float32, without dropout; with or without heads that score."""

from __future__ import annotations

import json
import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from harness.training.settings import Settings
from harness.types import SkilldeltaError

CAUSAL, CLASSIFIER = "CAUSAL_LM", "SEQ_CLS"


def device(config: Settings) -> torch.device:
    """The device of the settings, or the accelerator if there is one."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device(config.device) if config.device else found or torch.device("cpu")


def precision(config: Settings) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where the settings ask for it."""
    return torch.autocast(device(config).type, torch.bfloat16) if config.dtype == "bfloat16" else nullcontext()


def resolve(model: str) -> str:
    """A model's folder: a run folder stands for its last checkpoint; a Hub name for itself."""
    folder = Path(model)
    if not folder.is_dir() or any((folder / f).is_file() for f in ("config.json", "adapter_config.json")):
        return model
    numbered = [p for p in folder.glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdigit()]
    if not numbered:
        raise SkilldeltaError(f"{folder} holds neither a model (config.json) nor checkpoint-N folders.")
    return str(max(numbered, key=lambda p: int(p.name.removeprefix("checkpoint-"))))


def load(kind: str, model: str, **more: Any) -> nn.Module:
    """A whole model in float32, dropout off; an adapter is merged into its base."""
    path = resolve(model)
    auto = AutoModelForCausalLM if kind == CAUSAL else AutoModelForSequenceClassification
    adapter = Path(path) / "adapter_config.json"
    if adapter.is_file():
        from peft import PeftModel

        base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
        found = PeftModel.from_pretrained(auto.from_pretrained(base, dtype=torch.float32, **more), path).merge_and_unload()
    else:
        found = auto.from_pretrained(path, dtype=torch.float32, **more)
    return without_dropout(found)


def without_dropout(model: Any) -> nn.Module:
    """The model in evaluation mode, and with no dropout even where gradient checkpointing needs training mode."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attn_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    ready: nn.Module = model.eval()
    return ready


def classifier(model: str, heads: tuple[str, ...], seed: int) -> nn.Module:
    """A reward model with one head per aspect on the weights of `model`; heads that it lacks begin small and random.

    The new heads are normal with deviation 1 / sqrt(d + 1) (detail 9 of arXiv 2403.17031).
    """
    labels = dict(enumerate(heads))
    found: Any = load(CLASSIFIER, model, num_labels=len(heads), id2label=labels, label2id={h: i for i, h in labels.items()})
    if not isinstance(getattr(found, "score", None), nn.Linear):
        raise SkilldeltaError(f"{model} has no linear `score` head in transformers: no reward model can be made of it.")
    if not holds_head(resolve(model)):
        noise = torch.Generator().manual_seed(seed)
        weight = found.score.weight
        with torch.no_grad():
            weight.copy_(torch.randn(weight.shape, generator=noise) / math.sqrt(weight.shape[1] + 1))
    ready: nn.Module = found
    return ready


def holds_head(path: str) -> bool:
    """Was this folder saved as a sequence classifier, or as the adapter of one?"""
    adapter, whole = Path(path) / "adapter_config.json", Path(path) / "config.json"
    if adapter.is_file():
        return bool(json.loads(adapter.read_text(encoding="utf-8")).get("task_type") == CLASSIFIER)
    architectures = json.loads(whole.read_text(encoding="utf-8")).get("architectures") if whole.is_file() else None
    return any("SequenceClassification" in a for a in architectures or ())


def core(model: Any) -> Any:
    """The transformers model below an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def head(model: nn.Module) -> nn.Module:
    """The projection of hidden states to the vocabulary."""
    found: nn.Module = core(model).get_output_embeddings()
    return found
