"""A PEFT adapter folder: adapter_config.json, which names the base, next to adapter_model.safetensors (or .bin)."""

from __future__ import annotations

from pathlib import Path

from harness.checkpoint_folders import describe_adapter
from harness.types import Checkpoint

ORDER = 20


def find(path: Path) -> list[Checkpoint]:
    """The adapter in `path`, if it holds one."""
    return [describe_adapter(path, path.name)] if (path / "adapter_config.json").is_file() else []
