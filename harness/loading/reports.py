"""What checks of whole models and of adapters share: their errors, and how they name tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch

from harness.integrity import BrokenWeightsError, Headers
from harness.types import SkilldeltaError
from harness.visible_text import printable

WHOLE_NUMBER = re.compile(r"[IU]\d|u?int\d|bool", re.IGNORECASE)
BUFFER = re.compile(r"bias$|ids$|mask$|_index$|_idx$|tracked$")  # beside the weights; masks are called bias
VALUE_HEAD = re.compile(r"(?:^|\.)(?:v_head|value_head|reward_head|score_head)\.")
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "base_model.model.", "module.", "pretrained_model.", "actor.", "policy.")


def refuse_placeholders(headers: Headers) -> None:
    """Raises BrokenWeightsError for tensors without values, which ZeRO-3 saves where it was not asked to gather them."""
    if empty := sorted(name for name, tensor in headers.items() if 0 in tensor.shape):
        raise BrokenWeightsError(
            f"{len(empty)} of {len(headers)} tensors hold no values ({first_names(empty)}): placeholders of ZeRO-3.  "
            "Make a model of its shards with zero_to_fp32.py, or save with stage3_gather_16bit_weights_on_model_save"
        )
    if not headers:
        raise BrokenWeightsError("its file of weights holds no tensor at all")


def explain_wrapper(names: Iterable[str]) -> str:
    """Which wrapper left its prefix in the names of weights; "" for none."""
    all_names = list(names)
    wrapper = next((w for w in WRAPPERS if any(n.startswith(w) or f".{w}" in n for n in all_names)), "")
    return f".  Their names begin with {wrapper!r}: a wrapped module was saved, save the module in it" if wrapper else ""


def explain_value_model(names: Iterable[str]) -> str:
    """That weights which lack the language model's are those of a reward or value model; "" where nothing says so."""
    all_names = sorted(names)
    head = next((name for name in all_names if VALUE_HEAD.search(name)), "")
    if not head or any("lm_head" in name for name in all_names):
        return ""
    return f".  They hold {printable(head)}, and no lm_head: a reward or value model, which answers no prompts"


def refuse_whole_numbers(headers: Headers) -> None:
    """Raises BrokenWeightsError for matrices of whole numbers, where nothing is said of a quantization."""
    whole = [
        name for name, t in headers.items() if len(t.shape) > 1 and WHOLE_NUMBER.match(t.dtype) and not BUFFER.search(name)
    ]
    if whole:
        raise BrokenWeightsError(
            f"{len(whole)} of its weights are whole numbers ({first_names(sorted(whole))}: {headers[whole[0]].dtype}), and "
            "nothing says how they were quantized"
        )


def explain_zeros(is_zero: Sequence[bool]) -> str:
    """What is wrong where at least half of a model's matrices hold nothing but zeros; "" otherwise.

    Single ones are ordinary: new layers and outputs may begin at zero.
    """
    count = sum(is_zero)
    if 2 * count < len(is_zero) or not is_zero:
        return ""
    return f"{count} of {len(is_zero)} matrices hold nothing but zeros: the file was never filled, and nothing can be scored"


def first_names(names: list[str]) -> str:
    """The first names of a list."""
    return ", ".join(map(printable, names[:3])) + (", ..." if len(names) > 3 else "")


def require_finite(tensors: Iterable[tuple[str, torch.Tensor]], path: str) -> None:
    """Raises SkilldeltaError for weights by name, of a model or of an adapter, that are no numbers."""
    broken = [
        name
        for name, value in tensors
        if value.is_floating_point() and value.element_size() > 1 and not bool(torch.isfinite(value).all())
    ]
    if broken:
        raise SkilldeltaError(
            f"{path} has weights that are no numbers, NaN or infinite: {len(broken)} tensors ({first_names(broken)}).  "
            "Nothing is scored.  The run collapsed there, or the file is damaged: take an earlier checkpoint."
        )
