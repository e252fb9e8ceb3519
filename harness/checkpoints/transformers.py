"""A plain transformers folder: config.json next to model.safetensors (or shards with their index, or .bin files)."""

from __future__ import annotations

from pathlib import Path

from harness.checkpoint_folders import describe_whole_model, has_model_config, has_weights
from harness.checkpoints.gguf import describe_files
from harness.types import Checkpoint

ORDER = 30  # asked after the producers that know more about a folder


def find(path: Path) -> list[Checkpoint]:
    """The model in `path`, if it holds a model's config.json; ready or with what is wrong."""
    if not has_model_config(path):
        return []
    gguf_files = [] if has_weights(path) else describe_files(path)  # llama.cpp's and unsloth's converters copy config.json
    return gguf_files or [describe_whole_model(path, path.name)]
