"""A PEFT adapter folder: adapter_config.json beside the adapter's weights; its base is named in the config."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.integrity import ADAPTER, problem, read_json
from harness.types import Checkpoint

ORDER = 20


def find(path: Path) -> list[Checkpoint]:
    """The adapter in `path`, if it holds one."""
    return [describe(path, path.name)] if (path / "adapter_config.json").is_file() else []


def describe(folder: Path, name: str) -> Checkpoint:
    """A folder with adapter_config.json as a checkpoint, with the base that it changes."""
    found = Checkpoint(name, str(folder), "peft")
    try:
        config = read_json(folder / "adapter_config.json")
    except ValueError as error:
        return replace(found, problem=str(error))
    base = str(config.get("base_model_name_or_path") or "")
    if not base:
        return replace(found, problem="adapter_config.json names no base model (base_model_name_or_path)")
    if config.get("task_type") == "SEQ_CLS":
        return replace(found, base=base, method="reward", problem="an adapter of a reward model: it answers no prompts")
    return replace(found, base=resolve(base, folder), problem=problem(folder, ADAPTER))


def resolve(base: str, folder: Path) -> str:
    """The base as a folder where there is one (as written, or beside the adapter), else as the Hub name that it is."""
    for candidate in (Path(base), folder / base, folder.parent / base):
        if candidate.is_dir():
            return str(candidate)
    return base
