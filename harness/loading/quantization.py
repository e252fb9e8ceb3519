"""Whether quantized weights can be loaded here: by what config.json says of them, and what is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers.quantizers import AutoHfQuantizer

from harness.integrity import BrokenWeightsError, UncheckedError
from harness.loading.silence import silent_transformers
from harness.visible_text import first_line, printable

MLX = (
    "its weights are quantized by MLX, for Apple's machines: "
    "`mlx_lm.convert --hf-path THIS_FOLDER --mlx-path FOLDER --dequantize` makes ordinary weights of them"
)
VALIDATE: Callable[..., Any] = AutoHfQuantizer.from_config  # transformers is untyped


def check_quantization(config: Any) -> None:
    """UncheckedError for quantized weights that can be loaded: where they go is known only then.

    BrokenWeightsError where they cannot: the package is missing, the machine is another, or MLX wrote them.  A method that
    transformers does not know it passes over: those weights are placed as any others.
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
