"""Whether quantized weights can be loaded here: by what config.json says of them, and what is installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers.quantizers import AutoHfQuantizer

from harness.bounded_files import read_json
from harness.integrity import BrokenWeightsError, Headers, UncheckedError
from harness.loading.silence import silent_transformers
from harness.visible_text import first_line, printable, show_value

MLX = (
    "its weights are quantized by MLX, for Apple's machines: "
    "`mlx_lm.convert --hf-path THIS_FOLDER --mlx-path FOLDER --dequantize` makes ordinary weights of them"
)
SMALL_FLOAT = re.compile(r"F[468]_|float[468]_")  # of safetensors, and of torch
VALIDATE: Callable[..., Any] = AutoHfQuantizer.from_config  # transformers is untyped


def explain_unknown_method(folder: Path) -> str:
    """What is to be known of weights that a method quantized which transformers does not know; "" for others."""
    try:
        content = read_json(folder / "config.json").get("quantization_config")
    except ValueError:
        return ""
    method = content.get("quant_method") if isinstance(content, dict) else None
    if method is None or not is_unknown(content):
        return ""
    return f"{quote_method(content)}, which quantized its weights by config.json, is not known: they are loaded as they are"


def is_unknown(content: Any) -> bool:
    with silent_transformers():
        try:
            return not AutoHfQuantizer.supports_quant_method(content)
        except Exception:  # noqa: BLE001  settings of a stranger's, which check_quantization() refuses
            return False


def quote_method(content: Any) -> str:
    return show_value(content.get("quant_method"), 40)


def refuse_unscaled(config: Any, headers: Headers) -> None:
    """BrokenWeightsError for numbers of 8 bits or fewer by a method that transformers does not know: they need its scales."""
    content = getattr(config, "quantization_config", None)
    small = sorted(name for name, t in headers.items() if len(t.shape) > 1 and SMALL_FLOAT.match(t.dtype)) if content else []
    if small and is_unknown(content):
        raise BrokenWeightsError(
            f"{len(small)} of its weights have 8 bits or fewer ({printable(small[0])}: {headers[small[0]].dtype}), and "
            f"{quote_method(content)}, which quantized them, is no method that transformers knows"
        )


def check_quantization(config: Any) -> None:
    """UncheckedError for quantized weights that can be loaded: where they go is known only then.

    BrokenWeightsError where they cannot: the package is missing, the machine is another, or MLX wrote them.  A method that
    transformers does not know it passes over: those weights are placed as any others, unless their numbers need a scale.
    """
    content = getattr(config, "quantization_config", None)
    if getattr(config, "quantization", None) and not (content or {}).get("quant_method"):
        raise BrokenWeightsError(MLX)
    if not content:
        return
    with silent_transformers():
        try:
            if not AutoHfQuantizer.supports_quant_method(content):
                return
            VALIDATE(content, pre_quantized=True).validate_environment(device_map=None, weights_only=True)
        except Exception as error:  # each method checks its own package and devices
            raise BrokenWeightsError(
                f"its weights are quantized ({printable(str(content.get('quant_method')))[:40]}), and transformers cannot load "
                f"them here: {printable(first_line(error))}.  --backend vllm reads some kinds itself"
            ) from error
    raise UncheckedError("quantized weights")
