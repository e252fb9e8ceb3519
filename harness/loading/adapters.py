"""Adapters against their contract, and on their bases: peft's own loader, whose report is read and not dropped."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import peft
import torch
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

from harness.checkpoint_folders import REWARD_MODEL, find_reward_keys
from harness.integrity import ADAPTER, BrokenWeightsError, Headers, UncheckedError, find_problem, weight_files
from harness.loading.adapter_patterns import require_bounded_patterns
from harness.loading.apart_adapters import lies_apart
from harness.loading.embedding_rows import other_rows, resize_embeddings
from harness.loading.headers import explain_two_sets, open_tensors, read_headers
from harness.loading.reports import (
    explain_wrapper,
    first_names,
    refuse_placeholders,
    refuse_whole_numbers,
    require_finite,
)
from harness.loading.settings import ADAPTER_NAME, Head
from harness.loading.silence import silent_transformers
from harness.visible_text import printable

SHARED_PARTS = (
    "vblora_vector_bank",
    "prompt_encoder",
    ".tinylora_v.",
    ".unilora_theta_d.",
)  # peft saves them once, for all layers
COPIES = (".modules_to_save.", ".original_module.")  # of modules that peft saves under their own name too
FACTOR = re.compile(
    r"(.*)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|hada_w\d_[ab]|lokr_w\d(?:_[ab])?|vera_lambda_[bd])\b"
)
SHARED_FACTOR = re.compile(r"\bvera_[AB]\b")
SIZE_MISMATCH = re.compile(r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)")


def check_adapter(model: Any, folder: Path, head: Head) -> Any:
    """A model on the meta device with the adapter of a folder in it, once each of its tensors has found its place.

    BrokenWeightsError where one has none, is missing, or has another shape; UncheckedError where that cannot be known.
    """
    if fault := find_problem(folder, ADAPTER) or explain_two_sets(folder, ADAPTER):
        raise BrokenWeightsError(fault)
    headers, config = read_headers(weight_files(folder, ADAPTER)), read_adapter_config(folder)
    require_bounded_patterns(config, (name for name, _ in model.named_modules()))
    refuse_placeholders(headers)
    refuse_whole_numbers(headers)
    if head == "causal" and (keys := find_reward_keys(headers)):
        raise BrokenWeightsError(f"an adapter of a reward model (its weights hold {keys[0]}): {REWARD_MODEL}")
    resize_embeddings(model, headers)
    empty = {name: torch.empty(tensor.shape, device="meta") for name, tensor in headers.items()}
    kind = peft.MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, peft.PeftModel)
    with silent_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            peft_model = kind(model, config, ADAPTER_NAME, low_cpu_mem_usage=True)
            report = peft.set_peft_model_state_dict(peft_model, empty, ADAPTER_NAME, low_cpu_mem_usage=True)
        except Exception as error:
            raise explain_placing_failure(error, headers) from error
    refuse_unplaced_adapter(report.missing_keys, report.unexpected_keys, headers, config)
    return peft_model


def read_adapter_config(folder: Path) -> Any:
    """The settings of an adapter.  BrokenWeightsError for a kind that peft does not know."""
    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BrokenWeightsError(f"adapter_config.json cannot be used ({type(error).__name__}: {error})") from error
    if fault := find_setting_fault(config):
        raise BrokenWeightsError(f"adapter_config.json is damaged: {fault}")
    config.inference_mode = True
    if config.peft_type in (peft.PeftType.XLORA, peft.PeftType.ADAPTION_PROMPT):
        raise UncheckedError(f"adapters of the kind {config.peft_type.value}")
    return config


def find_setting_fault(config: Any) -> str:
    """Which setting of an adapter's rank or scale is absurd; "" for none."""
    for name in ("r", "lora_alpha", "alpha"):
        value = getattr(config, name, None)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if value is not None and not (is_number and (value > 0 or name != "r" or config.peft_type != peft.PeftType.LORA)):
            return f"{name} is {printable(str(value))[:100]}"
    dropout = getattr(config, "lora_dropout", None)
    if dropout is not None and not (isinstance(dropout, int | float) and 0 <= dropout <= 1):
        return f"lora_dropout is {printable(str(dropout))[:100]}"
    patterns = {name: getattr(config, name, None) for name in ("rank_pattern", "alpha_pattern")}
    wrong = (name for name, pattern in patterns.items() if pattern is not None and not isinstance(pattern, Mapping))
    return next((f"{name} is {printable(str(patterns[name]))[:100]}" for name in wrong), "")


def explain_placing_failure(error: Exception, headers: Headers) -> Exception:
    """What a failure of peft's loader means: a fault of the adapter's, or something that only a model with values can do."""
    text = str(error)
    if match := SIZE_MISMATCH.search(text):
        name, shape, model_shape = match.groups()
        return BrokenWeightsError(f"{printable(name)} has the shape {shape} in the adapter and {model_shape} in the model")
    if isinstance(error, KeyError):
        return BrokenWeightsError(f"the adapter lacks {printable(text)}{explain_wrapper(inner_names(headers))}")
    if isinstance(error, ValueError) and ("target" in text.lower() or "modules" in text.lower()):
        return BrokenWeightsError(f"the adapter does not fit its base: {printable(text.splitlines()[0])[:300]}")
    return UncheckedError(f"peft cannot place it without memory ({type(error).__name__}: {printable(text)[:100]})")


def refuse_unplaced_adapter(missing_keys: Iterable[str], unexpected_keys: Iterable[str], headers: Headers, config: Any) -> None:
    """Raises BrokenWeightsError where peft's report names tensors of the adapter that are missing or unexpected."""
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING.get(config.peft_type, "")
    own_keys = [key for key in missing_keys if ADAPTER_NAME in key.split(".")]
    adapter_keys = [key for key in own_keys if prefix in key or "modules_to_save" in key]
    missing = [key for key in adapter_keys if not any(part in key for part in SHARED_PARTS)]
    ignorable = (*SHARED_PARTS, *COPIES, "v_head", *(("prompt_embeddings",) if config.is_prompt_learning else ()))
    strange_keys = [key for key in unexpected_keys if not any(part in key for part in ignorable)]
    parts = [f"it lacks {len(missing)} of the adapter's weights ({first_names(missing)})"] if missing else []
    if strange_keys:
        parts.append(
            f"{len(strange_keys)} of its {len(headers)} tensors have no place in the base ({first_names(strange_keys)})"
        )
    if parts:
        raise BrokenWeightsError(
            f"an adapter that does not fit its base: {'; '.join(parts)}{explain_wrapper(inner_names(strange_keys))}"
        )


def inner_names(names: Iterable[str]) -> list[str]:
    """Names without the prefix that peft itself puts before them."""
    return [name.removeprefix("base_model.model.") for name in names]


def attach_adapter(model: Any, folder: Path) -> Any:
    """The model with the adapter of a folder in it, as peft loads it.  `lies_apart` of it says that its base is as it was.

    BrokenWeightsError where weights of the adapter are missing: they would be random, or change nothing.
    """
    headers = read_headers(weight_files(folder, ADAPTER))
    has_own_rows = other_rows(model, headers) is None
    with warnings.catch_warnings(record=True) as caught, torch.random.fork_rng([]):
        warnings.simplefilter("always")
        torch.default_generator.manual_seed(0)  # rows, and what some kinds change the base by, are drawn: always the same
        resize_embeddings(model, headers)
        peft_model = peft.PeftModel.from_pretrained(model, str(folder))
    for warning in caught:
        text = str(warning.message)
        if "missing adapter keys" in text:
            raise BrokenWeightsError(f"{folder} is an adapter that does not fit its base: {text[:300]}")
        if "is_gradient_checkpointing" not in text:  # peft asks transformers for a property by its old name
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    # By the settings that are in the model: peft turns those of some mixtures of experts into others.
    peft_model.lies_apart = has_own_rows and lies_apart(peft_model.peft_config[ADAPTER_NAME], headers)
    return peft_model


def leaves_base(model: Any, folder: Path) -> bool:
    """Whether the adapter of a folder, once it is attached to this base, is known to leave the base itself as it is."""
    return other_rows(model, read_headers(weight_files(folder, ADAPTER))) is None and is_plain_adapter(folder)


def is_plain_adapter(folder: Path) -> bool:
    """Whether the adapter of a folder is known to be no more than its own tensors, beside a base that stays as it is."""
    try:
        return lies_apart(read_adapter_config(folder), read_headers(weight_files(folder, ADAPTER)))
    except UncheckedError:
        return False


def replace_tensors(model: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Puts tensors in the places of those of the adapter in a model; returns peft's report of what found none."""
    return peft.set_peft_model_state_dict(model, dict(tensors), ADAPTER_NAME)


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of an adapter's file, in memory: its own, and those of the base that were saved with them."""
    tensors = peft.utils.save_and_load.load_peft_weights(str(folder), device="cpu")
    return {name: tensor.clone() for name, tensor in tensors.items()}


def place_adapter(model: Any, folder: Path) -> dict[str, torch.Tensor]:
    """Puts the adapter of a folder in the place of one with the same settings and shapes; returns its tensors.

    BrokenWeightsError where one finds no place or is missing; SkilldeltaError for one that is no numbers.
    """
    tensors = read_tensors(folder)
    require_finite(tensors.items(), str(folder))
    report = replace_tensors(model, tensors)
    headers = read_headers(weight_files(folder, ADAPTER))
    refuse_unplaced_adapter(report.missing_keys, report.unexpected_keys, headers, model.peft_config[ADAPTER_NAME])
    return tensors


def explain_no_change(folder: Path) -> str:
    """Why an adapter leaves its base as it is, as before the first step; "" where it does not, or where its kind is unknown.

    What a LoRA and its kin add to a module is a product: it is zero where its scale or one of its factors is.
    """
    try:
        config = read_adapter_config(folder)
    except UncheckedError:
        return ""
    if getattr(config, "lora_alpha", None) == 0 and not any((config.alpha_pattern or {}).values()):
        return "changes nothing: its lora_alpha is 0"
    files = weight_files(folder, ADAPTER)
    headers: Mapping[str, Any] = read_headers(files)
    if headers and all(name.endswith(".ia3_l") for name in headers):
        is_one = (bool((tensor[...] == 1).all()) for tensor in open_tensors(files, list(headers)))
        return "changes nothing: every factor of its IA3 is one" if all(is_one) else ""
    factors = {name: match for name in headers if (match := FACTOR.match(name))}
    if not factors or any(name not in factors and not SHARED_FACTOR.search(name) for name in headers):
        return ""
    zeros = {name for name, tensor in zip(factors, open_tensors(files, list(factors)), strict=True) if not tensor[...].any()}
    if {match[1] for match in factors.values()} > {factors[name][1] for name in zeros}:
        return ""
    kinds = sorted({factors[name][2] for name in zeros})
    return f"changes nothing: every {kinds[0]} is zero" if len(kinds) == 1 else "changes nothing: all of its products are zero"
