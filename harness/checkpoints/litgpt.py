"""A folder of LitGPT: lit_model.pth (of LoRA lit_model.pth.lora) beside a copy of the base's config; with the way out."""

from __future__ import annotations

from pathlib import Path

from harness.types import Checkpoint

ORDER = 16  # before transformers', as config.json is there too
MODEL, LORA = "lit_model.pth", "lit_model.pth.lora"
CONVERT = "a checkpoint of LitGPT: `litgpt convert_from_litgpt {folder} FOLDER` makes weights of it for transformers"
MERGE = "an adapter of LitGPT: `litgpt merge_lora {folder}`, then `litgpt convert_from_litgpt {folder} FOLDER`"


def find(path: Path) -> list[Checkpoint]:
    """The checkpoint in `path`, if it holds one."""
    if not any((path / name).is_file() for name in (MODEL, LORA)):
        return []
    problem = (CONVERT if (path / MODEL).is_file() else MERGE).format(folder=path)
    return [Checkpoint(path.name, str(path), "litgpt", problem=problem)]
