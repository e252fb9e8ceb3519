"""A whole model against its contract: transformers' own loader places the headers' names and shapes in an empty model.

Nothing is read but headers: the model is built without memory (torch's meta device), about 0.1 s for a Llama of any size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto import modeling_auto

from harness.bounded_files import is_folder, is_there, read_json
from harness.checkpoint_folders import CLASSIFIERS, REWARD_MODEL, find_reward_keys
from harness.integrity import SINGLE, BrokenWeightsError, Headers, UncheckedError, find_problem, weight_files, weight_sets
from harness.loading.generation_config import read_generation_config
from harness.loading.gguf import source_arguments
from harness.loading.headers import explain_two_sets, read_headers
from harness.loading.quantization import check_quantization, refuse_unscaled
from harness.loading.reports import (
    explain_value_model,
    explain_wrapper,
    first_names,
    refuse_placeholders,
    refuse_whole_numbers,
)
from harness.loading.settings import Head, LoadSettings
from harness.loading.silence import silent_transformers
from harness.visible_text import first_line, printable

# Buffers that older versions saved and newer ones compute; and parts beyond the language model: value heads of a policy,
# heads that predict several tokens at once, what reads pictures and sounds.
IGNORABLE = re.compile(
    r"(?:^|\.)(?:rotary_emb\.|rotary_pos_emb\.|inv_freq$|masked_bias$|attn\.bias$|attention\.bias$|position_ids$|v_head\.|mtp[._]|vision|"
    r"visual|audio|multi_modal_projector|mm_projector|num_batches_tracked$|_extra_state$)"
)
HEAD_KEYS: Mapping[Head, re.Pattern[str]] = {  # keys by which a causal model and a classifier of one kind differ
    "causal": re.compile(r"(?!)"),
    "classifier": re.compile(r"^(?:score|classifier|lm_head|embed_out|v_head)\."),
}
PARTS = re.compile(r"(?:num|n)_(?!positions|ctx|embd|embed)")  # how a setting is called that counts layers, heads, labels ...
MAX_PARTS = 1_000_000
ADAPTER_KEY = re.compile(r"\.(?:lora_[AB]|lora_embedding_[AB]|base_layer)\b")


def read_config(source: str, settings: LoadSettings) -> Any:
    """The config of a folder or Hub model.  BrokenWeightsError where it is none, or the model gives no text."""
    try:
        place, file = source_arguments(source)
        if is_folder(place) and is_there(str(Path(place) / "config.json")):
            refuse_absurd_counts(read_json(Path(place) / "config.json"))
        config = transformers.AutoConfig.from_pretrained(place, **file, **settings.remote(source), **settings.config)
    except Exception as error:  # a stranger's numbers: each architecture divides, indexes and compares its own
        raise BrokenWeightsError(f"config.json cannot be used: {printable(first_line(error))}") from error
    if not settings.trust_remote_code and (code := find_remote_kernels(vars(config))):
        raise BrokenWeightsError(
            f"its config.json names code of the Hub ({printable(code)[:100]}), which transformers would fetch and run.\n"
            "Take that setting out (or have it run: --backend-args trust_remote_code=true)"
        )
    if settings.head == "causal":
        require_language_model(config)
    return config


def refuse_absurd_counts(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for a count of parts beyond MAX_PARTS, at any depth: configs name and list their parts when built."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            refuse_absurd_counts(value)
        elif isinstance(value, int) and value > MAX_PARTS and PARTS.match(str(name)):
            raise ValueError(f"{printable(str(name))[:80]} is {value}")


def find_remote_kernels(settings: Mapping[str, Any]) -> str:
    """The repository of the Hub whose kernels a config asks for, at any depth; "" where it asks for none."""
    for name, value in settings.items():
        inner = vars(value) if isinstance(value, transformers.PretrainedConfig) else value
        if isinstance(inner, Mapping) and (code := find_remote_kernels(inner)):
            return code
        if isinstance(value, str) and "/" in value and "_implementation" in str(name):
            return value
    return ""


def require_language_model(config: Any) -> None:
    """Raises BrokenWeightsError for a model whose head gives no text, such as a reward model.

    transformers would load it with a random language head, or with its embeddings as one.
    """
    if getattr(config, "is_encoder_decoder", False):
        raise BrokenWeightsError(
            f"it is an encoder-decoder model ({config.model_type}); this backend takes models that continue a text.\n"
            "lm-eval's own backend takes it: --backend lm-eval:hf"
        )
    heads = [str(head) for head in getattr(config, "architectures", None) or ()]
    if heads and all(any(kind in head for kind in (*CLASSIFIERS, "QuestionAnswering")) for head in heads):
        raise BrokenWeightsError(
            f"it is a {', '.join(heads)}: it grades or labels texts and writes none, so no task can score it.\n"
            "Score the language model that it was made from; a reward model is a judge (`skilldelta list judges`)"
        )


def check_whole_model(folder: Path, settings: LoadSettings) -> Any:
    """The model of a folder on the meta device, once every weight of its headers has found its place.

    BrokenWeightsError where one has none, is missing, or has another shape; UncheckedError where that cannot be known.
    """
    if fault := find_problem(folder, SINGLE) or explain_two_sets(folder) or explain_index(folder):
        raise BrokenWeightsError(fault)
    config, headers = read_config(str(folder), settings), read_headers(weight_files(folder, SINGLE))
    read_generation_config(str(folder), settings)
    refuse_placeholders(headers)
    refuse_other_models(headers, settings.head)
    model, report = place_headers(config, headers, settings)
    refuse_unplaced(report, headers, settings.head)
    return model


def explain_index(folder: Path) -> str:
    """What transformers misses in the index of the shards; "" where it has what it needs."""
    name = next(iter(weight_sets(folder, SINGLE)), "")
    needs = name.endswith(".json") and not isinstance(read_json(folder / name).get("metadata"), dict)
    return f'{name} has no metadata, which transformers needs to load shards: add "metadata": {{}}' if needs else ""


def refuse_other_models(headers: Headers, head: Head) -> None:
    """Raises BrokenWeightsError for the weights of a reward model, and for those of a model with an adapter still in it."""
    if head == "causal" and (keys := find_reward_keys(headers)):
        raise BrokenWeightsError(f"a reward model (its weights hold {keys[0]}): {REWARD_MODEL}")
    if names := sorted(name for name in headers if ADAPTER_KEY.search(name)):
        raise BrokenWeightsError(
            f"its weights are those of a model with an adapter in it ({first_names(names)}): "
            "save the adapter alone, or merge it first (merge_and_unload)"
        )


def place_headers(config: Any, headers: Headers, settings: LoadSettings) -> tuple[Any, Mapping[str, Any]]:
    """An empty model, and transformers' report on where the headers' tensors went."""
    refuse_absurd_sizes(config, len(headers))
    check_quantization(config)
    refuse_unscaled(config, headers)
    refuse_whole_numbers(headers)
    name = "MODEL_FOR_CAUSAL_LM_MAPPING" if settings.head == "causal" else "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING"
    architecture = getattr(modeling_auto, name).get(type(config), None)
    if architecture is None and getattr(config, "auto_map", None):
        raise UncheckedError("an architecture whose code lies in its folder")
    if not isinstance(architecture, type):
        raise BrokenWeightsError(f"transformers has no {settings.head} model of the type {printable(str(config.model_type))}")
    empty = {name: torch.empty(tensor.shape, device="meta") for name, tensor in headers.items()}
    build: Callable[..., Any] = getattr(architecture, "from_pretrained")  # noqa: B009  transformers is untyped
    with silent_transformers():
        try:
            model, report = build(
                None, config=config, state_dict=empty, device_map="meta", dtype=torch.float32,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
        except Exception as error:
            reason = printable((str(error).strip().splitlines() or [""])[0])
            if isinstance(error, NotImplementedError) or "meta" in str(error).lower():
                raise UncheckedError(f"it cannot be built without memory: {reason}") from error
            raise BrokenWeightsError(f"config.json gives no model ({type(error).__name__}: {reason})") from error
    return model, report


def refuse_absurd_sizes(config: Any, tensors: int) -> None:
    """Raises BrokenWeightsError for more layers than there are tensors: to build them all would take for ever."""
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    if isinstance(layers, int) and layers > tensors:
        raise BrokenWeightsError(f"config.json says {layers} layers, and there are {tensors} tensors")


def refuse_unplaced(report: Mapping[str, Any], headers: Headers, head: Head) -> None:
    """Raises BrokenWeightsError where the loader's report names tensors that are missing, unexpected or of another shape."""
    missing = sorted(key for key in report["missing_keys"] if not HEAD_KEYS[head].search(key))
    strays = [key for key in report["unexpected_keys"] if not IGNORABLE.search(key) and not HEAD_KEYS[head].search(key)]
    if missing:
        raise BrokenWeightsError(
            f"it lacks {len(missing)} of the model's weights ({first_names(missing)}): they would be random"
            f"{explain_wrapper(strays)}{explain_value_model(headers)}"
        )
    if report["mismatched_keys"]:
        name, shape, model_shape = sorted(report["mismatched_keys"], key=str)[0]
        raise BrokenWeightsError(
            f"{printable(name)} has the shape {list(shape)} in the weights and {list(model_shape)} by config.json"
        )
    if strays:
        count = f"{len(headers)} " if headers else ""  # of a Hub model nobody has read them beforehand
        raise BrokenWeightsError(
            f"{len(strays)} of its {count}weights have no place in the model ({first_names(sorted(strays))}): "
            f"config.json is that of another model{explain_wrapper(strays)}"
        )
    if report["error_msgs"]:
        raise BrokenWeightsError(printable(str(report["error_msgs"][0])))
