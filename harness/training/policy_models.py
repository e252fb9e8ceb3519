"""Models for training: loaded in float32 without dropout, whole or with an adapter, on one device or sharded over several."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from harness.atomic_files import atomic_folder
from harness.bounded_files import UnreadableFileError, read_json
from harness.integrity import ADAPTER, ADAPTER_CONFIG, find_problem
from harness.prompts.text_limits import config_window
from harness.training import parallel
from harness.training.forward import can_pack, has_plain_head, inner_model
from harness.training.model_loading import (
    CAUSAL,
    CLASSIFIER,
    MERGED,
    adapter_base,
    has_score_head,
    is_adapter,
    load_classifier,
    load_model,
    load_own_tokenizer,
    model_folder,
)
from harness.training.saved_state import naming_damage
from harness.training.settings import TrainerSettings
from harness.training.training_device import training_device
from harness.types import SkilldeltaError
from harness.visible_text import first_line, printable

LOG = logging.getLogger("skilldelta")
__all__ = [
    "CAUSAL",
    "CLASSIFIER",
    "has_score_head",
    "load_classifier",
    "load_model",
    "model_folder",
    "reference_model",
    "shard",
    "trainable_policy",
    "trainable_reward_model",
]


def trainable_policy(config: TrainerSettings, checkpoint: Path | None = None) -> nn.Module:
    """The causal model to train, from the beginning or from a checkpoint of the same run."""
    source = str(checkpoint) if checkpoint and not config.lora else config.model
    model = load_model(CAUSAL, source)
    save_merged_base(config, model, is_new=checkpoint is None)
    return prepare_training(model, config, CAUSAL, checkpoint)


def trainable_reward_model(
    config: TrainerSettings, heads: tuple[str, ...], pad: int | None, checkpoint: Path | None = None
) -> nn.Module:
    """The reward model to train, from the beginning or from a checkpoint of the same run.

    Programs that know no lengths read the score before the first `pad`; None: they must score one answer at a time.
    """
    source = str(checkpoint) if checkpoint and not config.lora else config.model
    model: Any = load_classifier(source, heads, config.seed)
    if config.lora and not is_adapter(model_folder(config.model)) and model.config.pad_token_id != pad:
        LOG.warning(
            f"An adapter has the padding token of its base: other programs must set model.config.pad_token_id = {pad} (it is "
            f"{model.config.pad_token_id}), or they may read another score than the learnt one.  skilldelta knows lengths."
        )
    model.config.pad_token_id = pad
    save_merged_base(config, model, is_new=checkpoint is None)
    return prepare_training(model, config, CLASSIFIER, checkpoint)


def save_merged_base(config: TrainerSettings, model: Any, is_new: bool) -> None:
    """Writes the merged copy of an adapter that a new adapter is trained on, once in a run.

    An adapter whose base is an adapter is loaded by no other program, so that the new one needs a whole model as its base.
    A run that starts at its beginning writes it anew: what lies there may be another run's, of another model.
    """
    target = Path(config.out) / MERGED
    if not config.lora or not is_adapter(model_folder(config.model)) or (target.is_dir() and not is_new):
        return
    if parallel.is_writer():
        with atomic_folder(target) as draft:
            model.save_pretrained(draft)
            load_own_tokenizer(config.model).save_pretrained(draft)
    parallel.barrier()


def check_vocabulary(model: nn.Module, rows: Iterable[Sequence[int]], name: str) -> None:
    """Raises SkilldeltaError for token ids that the model's embeddings have no row for."""
    size = inner_model(model).get_input_embeddings().weight.shape[0]
    if (largest := max((max(ids) for ids in rows if ids), default=0)) >= size:
        raise SkilldeltaError(
            f"The data have the token {largest}, and {name} has embeddings for {size} tokens: its tokenizer has tokens that "
            "the model does not know.  Use the tokenizer that belongs to the model, or resize the model's embeddings "
            "(model.resize_token_embeddings(len(tokenizer)), then save_pretrained)."
        )


def check_sequences(model: nn.Module, rows: Sequence[Sequence[int]], name: str, more: int = 0) -> None:
    """Raises SkilldeltaError for token ids that the model's embeddings have no row for, and for more tokens than positions.

    `more`: the tokens of answers that are sampled after these rows.  Positions that are rotations go on beyond the model's
    window: that they do is said.
    """
    check_vocabulary(model, rows, name)
    window, longest = declared_window(model), max(map(len, rows), default=0) + more
    if not window or longest <= window:
        return
    what = f"prompts with answers of up to {longest} tokens" if more else f"rows of up to {longest} tokens"
    flags = "--max-prompt or --max-new" if more else f"--max-length to {window}"
    if has_position_table(model, window):
        raise SkilldeltaError(f"{name} has positions for {window} tokens, and the data have {what}: lower {flags}.")
    if parallel.is_writer():
        LOG.warning(
            f"{name} was made for {window} tokens (its config.json), and the data have {what}: what lies behind that is learnt "
            f"at positions that no scoring asks for.  Lower {flags}, unless the model is meant to learn longer texts."
        )


def declared_window(model: nn.Module) -> int:
    """The most tokens that the model takes at once by its settings; 0 where they do not say."""
    config = getattr(inner_model(model), "config", None)
    return config_window(config) if config is not None else 0


def has_position_table(model: nn.Module, window: int) -> bool:
    """Whether positions are rows of a table, as in GPT-2 and OPT (whose table has two rows more): it ends with the window."""
    inner: Any = inner_model(model)
    tables = [part for part in inner.modules() if isinstance(part, nn.Embedding) and part is not inner.get_input_embeddings()]
    return any(window <= table.num_embeddings <= window + 2 for table in tables)


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
        model.name_or_path = adapter_base(config)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")  # peft asks for a property by its old name
            if checkpoint is None:
                require_targets(config, model)
                try:
                    model = get_peft_model(model, settings)
                except ValueError as error:  # of peft's own kinds of it
                    reason = printable(first_line(error))[:200]
                    raise SkilldeltaError(f"{config.model} can have no such adapter (--lora-targets): {reason}") from error
            else:
                with naming_damage(checkpoint):
                    require_whole(checkpoint)
                    model = PeftModel.from_pretrained(model, checkpoint, is_trainable=True)
    if config.checkpointing:
        inner = inner_model(model)
        enable = getattr(inner, "activation_checkpointing_enable", None) or inner.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        model.train()
    return place(model, config)


def require_targets(config: TrainerSettings, model: nn.Module) -> None:
    """Raises SkilldeltaError for --lora-targets of which one is no module's name: peft would adapt the others alone."""
    names = [name for name, _ in model.named_modules()]
    if missing := [target for target in config.lora_targets if not any(f".{name}".endswith(f".{target}") for name in names)]:
        them = ", ".join(map(printable, missing))
        raise SkilldeltaError(f"{config.model} can have no such adapter (--lora-targets): no module is called {them}.")


def require_whole(adapter: Path) -> None:
    """Raises UnreadableFileError for an adapter whose files are damaged."""
    read_json(adapter / ADAPTER_CONFIG)
    if problem := find_problem(adapter, ADAPTER):
        raise UnreadableFileError(problem)


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
