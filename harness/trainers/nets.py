"""Models for training: loaded without dropout, their log-probabilities of answers, rewards and values.

Every forward here wants right-padded batches, and takes the vocabulary projection only where a token is learnt.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from harness.trainers import losses, packing, parallel
from harness.trainers.batches import Batch, padded
from harness.trainers.encode import Tokens
from harness.trainers.rates import Rates
from harness.trainers.settings import Settings
from harness.types import SkilldeltaError

CAUSAL, CLASSIFIER = "CAUSAL_LM", "SEQ_CLS"


def device(config: Settings) -> torch.device:
    """The device of the settings, or the accelerator if there is one."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device(config.device) if config.device else found or torch.device("cpu")


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


def head(model: nn.Module) -> nn.Module:
    """The projection of hidden states to the vocabulary."""
    found: nn.Module = core(model).get_output_embeddings()
    return found


def precision(config: Settings) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where the settings ask for it."""
    return torch.autocast(device(config).type, torch.bfloat16) if config.dtype == "bfloat16" else nullcontext()


def core(model: Any) -> Any:
    """The transformers model below an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def hidden(model: nn.Module, batch: Batch) -> Tensor:
    """The last hidden states: [B, T, d]."""
    inner = core(model)
    backbone = getattr(inner, inner.base_model_prefix)
    found: Tensor = backbone(input_ids=batch.ids, use_cache=False, **layout(batch)).last_hidden_state
    return found


def layout(batch: Batch) -> dict[str, Tensor]:
    """Positions and mask, where a batch has its own."""
    if batch.seen is None or batch.positions is None:
        return {}
    # One mask to be added for all layers: from true and false each layer would make its own.
    mask = torch.zeros(batch.seen.shape, device=batch.ids.device).masked_fill(~batch.seen, -torch.inf)
    return {"position_ids": batch.positions, "attention_mask": mask}


def laid(model: nn.Module, items: Sequence[packing.Answers], pad: int, rate: Rates) -> Batch:
    """Answers to prompts as a batch on the model's device, packed where the model can and where that is less work."""
    inner = core(model)
    if forks(model):
        rows, width = packing.plan([packing.size(i) for i in items], rate.rows)
        alone = [len(answer) for answers in items for answer in answers]
        if rate.rows(len(rows), width) < rate.rows(len(alone), max(alone)):
            return packing.packed(items, pad, rows, width).to(inner.device)
    return packing.apart(items, pad).to(inner.device)


def takes_masks(inner: Any) -> bool:
    """Does every layer look at the whole past, under a mask and positions that we may give?  Windows would be overruled."""
    config = inner.config.get_text_config()
    forward = inspect.signature(getattr(inner, inner.base_model_prefix).forward)
    whole = set(getattr(config, "layer_types", None) or ()) <= {"full_attention"} and not getattr(
        config, "sliding_window", None
    )
    return whole and "position_ids" in forward.parameters and config._attn_implementation in ("eager", "sdpa")


def alike(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding, measured by the largest number."""
    return bool((one - other).abs().max() <= 1e-4 * other.abs().max())


@torch.no_grad()
def forks(model: nn.Module) -> bool:
    """Does the model keep sequences in one row apart?  Tried, not looked up: windows and recurrent states do not."""
    inner = core(model)
    known: bool | None = getattr(inner, "_forks", None)
    if known is None:
        known = takes_masks(inner)
        if known:
            tried = [(Tokens((1, 2, 3, 2), 2), Tokens((1, 2, 4, 3, 1), 2)), (Tokens((3, 1), 1), Tokens((4, 2, 1), 0))]
            two = packing.packed(tried, 0, [[0, 1]], sum(map(packing.size, tried))).to(inner.device)
            one = packing.apart(tried, 0).to(inner.device)
            with torch.autocast(inner.device.type, enabled=False):
                apart, joined = (hidden(model, b).flatten(0, 1)[b.last] for b in (one, two))
            known = alike(apart, joined)
        inner._forks = known
    return known


@torch.no_grad()
def plain_head(model: nn.Module) -> bool:
    """Are the logits just the output embedding of the last hidden state?  Tried, not looked up: some models scale or cap."""
    inner = core(model)
    known: bool | None = getattr(inner, "_plain_head", None)
    if known is None:
        batch = padded([Tokens((3, 1, 2), 1)], 0).to(inner.device)
        with torch.autocast(inner.device.type, enabled=False):
            logits = inner(input_ids=batch.ids, use_cache=False).logits
            known = alike(head(model)(hidden(model, batch)), logits)
        inner._plain_head = known
    return known


class Picked(NamedTuple):
    logps: Tensor  # [N] log-probability of each learnt token
    logits: Tensor  # [N, V]


def answers(model: nn.Module, batch: Batch, temperature: float = 1.0) -> Picked:
    """Log-probabilities of the learnt tokens of a batch, at a sampling temperature."""
    return parallel.inside(core(model), picked, model, batch, temperature)


def picked(model: nn.Module, batch: Batch, temperature: float) -> Picked:
    """The same, where the weights are whole."""
    if plain_head(model):
        logits = head(model)(hidden(model, batch).flatten(0, 1)[batch.before])
    else:
        every = core(model)(input_ids=batch.ids, use_cache=False, **layout(batch)).logits
        logits = every.flatten(0, 1)[batch.before]
    logits = logits.float() if temperature == 1.0 else logits.float() / temperature
    return Picked(losses.token_logps(logits, batch.targets), logits)


def sums(found: Picked, batch: Batch) -> Tensor:
    """Log-probability of each whole answer: [R]."""
    return torch.zeros(len(batch.last), device=batch.ids.device).index_add(0, batch.owner, found.logps)


def lengths(batch: Batch) -> Tensor:
    """Learnt tokens of each answer: [R]."""
    return torch.bincount(batch.owner, minlength=len(batch.last))


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


def scores(model: nn.Module, batch: Batch) -> Tensor:
    """The heads at the last real token of each answer, whatever the padding: [R, A]."""
    return parallel.inside(core(model), scored, model, batch, batch.last)


def scored(model: nn.Module, batch: Batch, places: Tensor) -> Tensor:
    """The heads at some places, where the weights are whole: [places, A]."""
    found: Tensor = core(model).score(hidden(model, batch).flatten(0, 1)[places]).float()
    return found


def values(model: nn.Module, batch: Batch) -> Tensor:
    """The first head before each learnt token is said (at the token before it), in the order of `answers`: [N]."""
    return scored(model, batch, batch.before)[:, 0]


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """JSON that a person can read, the same bytes for the same value."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
