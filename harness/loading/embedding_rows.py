"""Rows of embeddings that an adapter's training added to its base: its weights say how many the base has to have."""

from __future__ import annotations

import re
from typing import Any

from harness.integrity import Headers, UncheckedError

SAVED_EMBEDDING = r"(?:\.modules_to_save|\.base_layer)?\.weight"


def saved_rows(model: Any, headers: Headers) -> int | None:
    """How many tokens the embeddings had that the adapter was trained on; None where it does not say."""
    ends = {get: name for name, module in model.named_modules() for get in embedding_places(model) if module is get}
    for module, name in ends.items():
        patterns = [
            (re.compile(rf"(?:^|\.){re.escape(name)}{SAVED_EMBEDDING}$"), 0),
            (re.compile(rf"(?:^|\.){re.escape(name)}\.lora_embedding_A(?:\.weight)?$"), 1),
        ]
        if module is not model.get_input_embeddings():
            patterns.append((re.compile(rf"(?:^|\.){re.escape(name)}\.lora_B\.weight$"), 0))
        for pattern, dimension in patterns:
            for key, tensor in headers.items():
                if pattern.search(key) and len(tensor.shape) == 2:
                    return tensor.shape[dimension]
    return None


def embedding_places(model: Any) -> list[Any]:
    """The modules with one row a token."""
    return [module for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module is not None]


def other_rows(model: Any, headers: Headers) -> int | None:
    """How many rows of embeddings the base has to have instead of its own; None where they are right, or nothing says."""
    rows = saved_rows(model, headers)
    return rows if rows and rows != model.get_input_embeddings().weight.shape[0] else None


def resize_embeddings(model: Any, headers: Headers) -> None:
    """Gives the base as many rows of embeddings as the adapter was saved with, which hold the tokens that training added."""
    if rows := other_rows(model, headers):
        try:
            model.resize_token_embeddings(rows, mean_resizing=False)
        except Exception as error:  # transformers' models differ in what they raise
            if model.device.type != "meta":
                raise
            raise UncheckedError(f"embeddings of {rows} rows cannot be made without memory ({type(error).__name__})") from error
