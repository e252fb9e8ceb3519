"""A policy in half precision for the time of its sampling, as its checkpoints are served.

Autocast would cast every weight anew at each token, and mixes number types inside of a layer, which neither caches nor the
engine's attention take: a real model's answers would be computed from the whole text, token by token.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def weights_in_half(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """The model with its float32 weights rounded to `dtype`, and no autocast, inside the `with`.

    Its own weights stay, and are back afterwards; a change in there has no effect.  Buffers stay as they are, as in a model
    that is loaded in half precision: rotary frequencies must not be rounded.
    """
    originals = [
        (module, name, parameter)
        for module in model.modules()
        for name, parameter in module._parameters.items()
        if parameter is not None and parameter.dtype is torch.float32
    ]
    rounded: dict[int, nn.Parameter] = {}
    try:
        for module, name, parameter in originals:
            if id(parameter) not in rounded:  # an embedding and the head are often one
                rounded[id(parameter)] = nn.Parameter(parameter.detach().to(dtype), requires_grad=False)
            module._parameters[name] = rounded[id(parameter)]
        with torch.autocast(model.device.type, enabled=False):
            yield
    finally:
        for module, name, parameter in originals:
            module._parameters[name] = parameter
