"""GGUF files through transformers' own reader: weights become ordinary tensors of the type that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from harness.hub_cache import split_revision


def source_arguments(source: str) -> tuple[str, dict[str, str]]:
    """What from_pretrained() is to be called with: the folder of a GGUF file and its name, or the source as it is."""
    file = Path(source)
    if is_gguf(source):
        return str(file.parent), {"gguf_file": file.name}
    return (source if file.is_dir() else split_revision(source)[0]), {}


def is_gguf(source: str) -> bool:
    return source.endswith(".gguf") and Path(source).is_file()


def dense_weights(source: str) -> dict[str, Any]:
    """The argument of from_pretrained() that makes ordinary weights of a file's blocks: matmuls over blocks are slow."""
    return {"quantization_config": transformers.GgufConfig(dequantize=True)} if is_gguf(source) else {}


def forget_quantization(model: Any) -> Any:
    """The model without the mark that its file was quantised: its weights are not any more."""
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config
        model.is_quantized, model.hf_quantizer = False, None
    return model


def write_folder(source: str, target: Path) -> None:
    """Writes the model of a GGUF file as an ordinary folder: adapters name it as their base, and every program loads it."""
    place, arguments = source_arguments(source)
    model = transformers.AutoModelForCausalLM.from_pretrained(place, **arguments, **dense_weights(source))
    forget_quantization(model).save_pretrained(target)
    transformers.AutoTokenizer.from_pretrained(place, **arguments).save_pretrained(target)
