"""Weights without the file that says of which model: states of accelerate, Mistral's and MLX's own formats; seen and said."""

from __future__ import annotations

from pathlib import Path

from harness.folder_entries import find_entries
from harness.integrity import ADAPTER, ADAPTER_CONFIG, INDEXES, SINGLE
from harness.types import Checkpoint

ORDER = 95  # after every producer that knows more
MISTRAL = (
    "weights in Mistral's own format (params.json): transformers' convert_mistral_weights_to_hf.py "
    "(src/transformers/models/mistral) makes a model of them"
)
MLX = "an adapter of MLX (adapters.safetensors): `mlx_lm.fuse` makes a whole model of it and its base"
NO_ADAPTER_CONFIG = f"an adapter without {ADAPTER_CONFIG}: copy that file from another checkpoint of the run"
STATE = (
    "weights without config.json, as accelerate saves a state for resuming: copy config.json and the tokenizer's files of the "
    "model that was trained into the folder"
)


def find(path: Path) -> list[Checkpoint]:
    """The weights in `path`, if there are any, as a checkpoint that cannot be scored as it is."""
    problem = explain_bare_weights(path)
    return [Checkpoint(path.name, str(path), "bare_weights", problem=problem)] if problem else []


def explain_bare_weights(path: Path) -> str:
    if any((path / name).is_file() for name in (*SINGLE, *INDEXES)):
        return STATE
    if (path / "params.json").is_file() and find_entries(path, "consolidated*.safetensors"):
        return MISTRAL
    if any((path / name).is_file() for name in ADAPTER):
        return NO_ADAPTER_CONFIG
    return MLX if (path / "adapters.safetensors").is_file() else ""
