"""The one way in which a checkpoint becomes a model: its contract first, then transformers' and peft's own loaders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers

from harness.checkpoint_folders import adapter_folders, describe_path, explain_load_failure
from harness.integrity import BrokenWeightsError
from harness.loading.gguf import dense_weights, forget_quantization, source_arguments
from harness.loading.headers import UNSAFE_WEIGHTS, UnsafeWeightsError
from harness.loading.reports import explain_zeros, require_finite
from harness.loading.settings import LoadSettings
from harness.loading.silence import silent_transformers
from harness.loading.whole_model import read_config, refuse_unplaced
from harness.types import Checkpoint, SkilldeltaError

LOAD_ERRORS = (OSError, ValueError, ImportError, KeyError, RuntimeError, TypeError, AttributeError)


def require_loadable(checkpoint: Checkpoint, settings: LoadSettings) -> str:
    """Raises SkilldeltaError where the contract is broken; else what should be known about the checkpoint."""
    from harness.loading.contract import check_contract  # reads every format of weights

    verdict = check_contract(checkpoint, settings)
    if verdict.problem:
        raise SkilldeltaError(f"{checkpoint.path} cannot be loaded: {verdict.problem}.")
    return verdict.note


def load_checkpoint(checkpoint: Checkpoint, settings: LoadSettings) -> Any:
    """A checkpoint's model on the processor; an adapter stays an adapter on its base, with those below it merged.

    SkilldeltaError where weights are unsafe, missing, of another model, or no numbers.
    """
    require_loadable(checkpoint, settings)
    try:
        model = load_base(checkpoint.base or checkpoint.path, settings)
        return attach_adapters(model, checkpoint)
    except BrokenWeightsError as error:
        raise SkilldeltaError(f"{checkpoint.path} cannot be loaded: {error}.") from error
    except UnsafeWeightsError as error:
        raise SkilldeltaError(f"{checkpoint.path} {UNSAFE_WEIGHTS}.") from error
    except LOAD_ERRORS as error:
        raise SkilldeltaError(explain_load_failure(checkpoint, error)) from error


def load_base(source: str, settings: LoadSettings) -> Any:
    """The whole model of a folder or Hub name.  BrokenWeightsError where its weights are not those of its config, or zeros."""
    config = read_config(source, settings)
    kind = transformers.AutoModelForCausalLM if settings.head == "causal" else transformers.AutoModelForSequenceClassification
    place, file = source_arguments(source)
    with silent_transformers():  # what it would print of missing tensors, refuse_unplaced says where it is a fault
        model, report = kind.from_pretrained(
            place,
            config=config,
            dtype=settings.dtype,
            attn_implementation=settings.attention or None,
            weights_only=True,
            output_loading_info=True,
            **file,
            **dense_weights(source),
            **settings.remote(source),
        )
    refuse_unplaced(report, {}, settings.head)
    matrices = (value for value in model.parameters() if value.is_floating_point() and value.ndim > 1)
    if fault := explain_zeros([not (value[:1].any() or value.any()) for value in matrices]):
        raise BrokenWeightsError(fault)
    return forget_quantization(model)


def attach_adapters(model: Any, checkpoint: Checkpoint) -> Any:
    """The whole model with a checkpoint's adapters: the lower ones merged into it, the last one attached."""
    folders = adapter_folders(checkpoint)
    for folder in folders:
        from harness.loading.adapters import attach_adapter  # peft takes a second and memory, and most checkpoints need none

        peft_model = attach_adapter(model, Path(folder))
        model = peft_model if folder == folders[-1] else peft_model.merge_and_unload()
    return model


def load_merged(path: str, settings: LoadSettings) -> Any:
    """The model of a folder or Hub name as one whole model: adapters are merged into their base.  For training.

    SkilldeltaError as from load_model().
    """
    checkpoint = describe_path(path)
    if checkpoint.problem and checkpoint.method != "reward":
        raise SkilldeltaError(f"{path} cannot be loaded: {checkpoint.problem}.")
    model = load_checkpoint(replace(checkpoint, problem=""), settings)
    require_finite(model.named_parameters(), path)
    return model.merge_and_unload() if checkpoint.base else model
