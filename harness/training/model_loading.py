"""Models from their folders, in float32 and without dropout: whole ones, adapters merged into their base, classifiers."""

from __future__ import annotations

import copy
import difflib
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from harness import fingerprint
from harness.bounded_files import read_json
from harness.checkpoint_folders import describe_path, find_config_fault, has_model_config
from harness.file_hashes import require_readable_size
from harness.integrity import ADAPTER, weight_files
from harness.loading.headers import read_headers
from harness.loading.settings import Head, LoadSettings
from harness.own_template import give_own_template
from harness.prompts.template_trial import try_chat_template
from harness.tokenizer_folders import tokenizer_source
from harness.training.saved_state import read_costs
from harness.training.settings import TrainerSettings
from harness.types import SkilldeltaError
from harness.visible_text import first_line

CAUSAL, CLASSIFIER = "CAUSAL_LM", "SEQ_CLS"  # peft's names of the two kinds
ALIGNMENT = 64  # bytes, of torch's own memory on a processor
# The folder, in a run of LoRA that starts from an adapter, with the model that its adapters change.  Searches for checkpoints
# pass over names with an underscore.
MERGED = "_merged-base"


def model_folder(model: str) -> str:
    """A model's own folder: a run folder stands for its last checkpoint, a Hub name for itself.

    Raises SkilldeltaError for a folder that holds neither a model nor checkpoints, and for a path that does not exist.
    """
    folder = Path(model)
    if not folder.is_dir():
        if folder.exists():
            raise SkilldeltaError(f"{model} is a file: name the folder of a model{describe_model_above(folder)}.")
        if model.startswith(("/", ".", "~")) or (len(folder.parts) > 1 and folder.parent.is_dir()):
            raise SkilldeltaError(f"There is no model folder {model}.{describe_neighbours(folder)}")
        return model
    if is_adapter(model) or has_model_config(folder):  # an experiment may keep settings of its own in config.json
        return model
    checkpoints = [p for p in folder.glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdigit()]
    if not checkpoints:
        raise SkilldeltaError(
            f"{folder} holds neither a model (config.json) nor checkpoint-N folders.{describe_models_below(folder)}"
        )
    return str(max(checkpoints, key=lambda p: int(p.name.removeprefix("checkpoint-"))))


def describe_models_below(folder: Path) -> str:
    """The first models and run folders in a folder that is none, as a sentence."""
    names = ("config.json", "adapter_config.json", "checkpoint-*")
    models = sorted(path for path in folder.iterdir() if path.is_dir() and any(next(path.glob(n), None) for n in names))
    return f"  Did you mean {', '.join(map(str, models[:3]))}{', ...' if len(models) > 3 else ''}?" if models else ""


def describe_model_above(file: Path) -> str:
    """The folder of a file, where it is that of a model."""
    is_model = any((file.parent / name).is_file() for name in ("config.json", "adapter_config.json"))
    return f", such as {file.parent}" if is_model else ""


def describe_neighbours(folder: Path) -> str:
    """The folders that a mistyped name may have meant."""
    if len(folder.parts) == 1 and not any(p.is_dir() for p in Path().iterdir()):
        return ""
    if not folder.parent.is_dir():
        return f"  There is no folder {folder.parent} either."
    names = sorted(p.name for p in folder.parent.iterdir() if p.is_dir() and not p.name.startswith("."))
    near = difflib.get_close_matches(folder.name, names, n=3, cutoff=0.5)
    hint = f"  Did you mean {' or '.join(str(folder.parent / name) for name in near)}?" if near else ""
    return hint + (f"  {folder.parent} holds: {', '.join(names[:8])}." if names else f"  {folder.parent} holds no folders.")


def is_adapter(path: str) -> bool:
    return (Path(path) / "adapter_config.json").is_file()


def base_of(path: str) -> str:
    """The whole model below the adapter in a folder: a folder where there is one (absolute), else a Hub name."""
    checkpoint = describe_path(path)
    if not checkpoint.base:
        raise SkilldeltaError(f"{path} cannot be loaded: {checkpoint.problem or 'it names no base model'}.")
    return absolute_name(checkpoint.base)


def absolute_name(model: str) -> str:
    """A folder's absolute path, which holds from anywhere; the name of a model on the Hub as it is."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def tokenizer_folder(model: str) -> str:
    """The folder with the tokenizer of a model: its own, for an adapter without one that of its base."""
    path = model_folder(model)
    return tokenizer_source(describe_path(path)) if Path(path).is_dir() else path


def load_own_tokenizer(model: str) -> Any:
    """The tokenizer of a model, with the chat template of the model's own folder."""
    path, source = model_folder(model), tokenizer_folder(model)
    for name in ("config.json", "special_tokens_map.json", *fingerprint.TOKENIZER, *fingerprint.TEMPLATE):  # are read whole
        if (file := Path(source, name)).is_file():
            require_readable_size(file)
    tokenizer = AutoTokenizer.from_pretrained(source)
    if Path(path).is_dir():
        give_own_template(tokenizer, describe_path(path))
    try_chat_template(tokenizer)
    return tokenizer


def has_score_head(path: str) -> bool:
    """Was this folder saved as a sequence classifier, or as the adapter of one?  SkilldeltaError for a damaged config.json."""
    if is_adapter(path):
        return bool(read_json(Path(path) / "adapter_config.json").get("task_type") == CLASSIFIER)
    model = Path(path) / "config.json"
    config = read_json(model) if model.is_file() else {}
    if fault := find_config_fault(config):
        raise SkilldeltaError(f"{path} cannot be loaded: config.json is damaged: {fault}.")
    return any("SequenceClassification" in head for head in config.get("architectures") or ())


def load_model(kind: str, model: str, **more: Any) -> nn.Module:
    """A whole model (`kind`: CAUSAL or CLASSIFIER) in float32, dropout off; an adapter is merged into its base.

    Raises SkilldeltaError for a folder that holds another kind of model, or not all of its weights.
    """
    disable_progress_bar()  # a run says by itself how far it is
    path = model_folder(model)
    if kind == CAUSAL and has_score_head(path):
        raise SkilldeltaError(
            f"{path} is a reward model: it scores answers and writes none.  Name the model that it was made from."
        )
    if kind == CLASSIFIER and is_adapter(path) and not has_score_head(path):
        return disable_dropout(as_classifier(load_model(CAUSAL, path), **more))
    from harness.loading.model import load_merged  # much that asks about folders loads no weights

    head: Head = "causal" if kind == CAUSAL else "classifier"
    whole: nn.Module = load_merged(path, LoadSettings(head=head, config=more))
    align_weights(whole)
    return disable_dropout(whole).requires_grad_(True)


def align_weights(model: nn.Module) -> None:
    """Moves weights to addresses where torch itself puts them.

    Those of a file lie where its header ends, and kernels round by where a tensor begins: a run would go on from its checkpoint
    with other last digits than without the interruption.
    """
    for weight in model.parameters():
        if weight.device.type == "cpu" and weight.data_ptr() % ALIGNMENT:
            weight.data = weight.data.clone()


def tensor_rows(path: str, endings: tuple[str, ...]) -> int:
    """The rows of the first tensor of an adapter whose name ends so; 0 for none."""
    headers = read_headers(weight_files(Path(path), ADAPTER))
    return next((tensor.shape[0] for name, tensor in headers.items() if name.endswith(endings)), 0)


def explain_failure(path: str, error: Exception) -> str:
    """Why a tokenizer cannot be loaded: no such model anywhere, or a damaged one."""
    if Path(path).is_dir():
        return f"The tokenizer of {path} cannot be loaded: {type(error).__name__}: {first_line(error)}"
    reason = f"There is no model folder {path}, and the Hub gives no model of that name ({first_line(error)})."
    is_hub_name = path.count("/") == 1 and not Path(path).parent.is_dir()
    return reason + (
        "  Of the base of an adapter, --base DIR names the folder." if is_hub_name else describe_neighbours(Path(path))
    )


def as_classifier(model: Any, **more: Any) -> nn.Module:
    """A classifier on the weights of a causal model, with a new head."""
    config = copy.deepcopy(model.config)
    for name, value in more.items():
        setattr(config, name, value)
    try:
        classifier: Any = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    except ValueError as error:
        raise SkilldeltaError(
            f"transformers has no classifier for {config.model_type}: no reward model can be made of it."
        ) from error
    prefix = model.base_model_prefix
    getattr(classifier, prefix).load_state_dict(getattr(model, prefix).state_dict())
    whole: nn.Module = classifier
    return whole


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


def describe_model(model: str) -> dict[str, Any]:
    """A model's folder, the hashes of its parts, and the cost of its training if one of these trainers made it."""
    path = model_folder(model)
    facts = {
        "path": path,
        "fingerprint": fingerprint.hash_checkpoint(describe_path(path)),
    }
    costs = read_costs(Path(path))
    return facts | ({"cost": {"total_flos": costs.flops, "seconds": sum(costs.seconds.values())}} if costs else {})


def adapter_base(config: TrainerSettings) -> str:
    """The base that a new adapter names: the folder of the model, or where that is an adapter itself, the merged copy."""
    path = model_folder(config.model)
    if is_adapter(path):
        return str((Path(config.out) / MERGED).resolve())
    return str(Path(path).resolve()) if Path(path).is_dir() else path
