"""A folder as a checkpoint: a whole model or an adapter, with what is wrong with it; and folders numbered by training step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness.integrity import ADAPTER, SINGLE, find_problem, read_json
from harness.types import Checkpoint


def list_numbered(run: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """(step, folder) for each folder in `run` whose name the pattern matches, in the order of the numbers in its group 1."""
    return sorted((int(match.group(1)), path) for path, match in match_folders(run, pattern))


def match_folders(run: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in run.iterdir():
        match = pattern.match(path.name)
        if match and path.is_dir():
            yield path, match


def describe_model(folder: Path, name: str) -> Checkpoint | None:
    """The whole model or the adapter in `folder`; None when there is neither."""
    if (folder / "adapter_config.json").is_file():
        return describe_adapter(folder, name)
    return describe_whole_model(folder, name) if has_model_config(folder) else None


def has_model_config(folder: Path) -> bool:
    """Whether config.json is a model's.  Experiments keep settings of their own under this name, without weights."""
    if not (folder / "config.json").is_file():
        return False
    try:
        config = read_json(folder / "config.json")
    except ValueError:
        return True  # half-written, or damaged: the checkpoint's problem says so
    return bool({"model_type", "architectures"} & set(config) or any(folder.glob("*.safetensors")) or any(folder.glob("*.bin")))


def describe_whole_model(folder: Path, name: str) -> Checkpoint:
    """A folder with config.json as a checkpoint.  A reward model has a problem: it answers no prompts."""
    try:
        config = read_json(folder / "config.json")
    except ValueError as error:
        return Checkpoint(name, str(folder), "transformers", problem=str(error))
    heads = [str(head) for head in config.get("architectures") or ()]
    if any(head.endswith("ForSequenceClassification") for head in heads):
        problem = f"a reward model or classifier ({heads[0]}): it answers no prompts"
        return Checkpoint(name, str(folder), "transformers", method="reward", problem=problem)
    return Checkpoint(name, str(folder), "transformers", problem=find_problem(folder, SINGLE))


def describe_adapter(folder: Path, name: str) -> Checkpoint:
    """A folder with adapter_config.json as a checkpoint, with the base that it changes."""
    checkpoint = Checkpoint(name, str(folder), "peft")
    try:
        config = read_json(folder / "adapter_config.json")
    except ValueError as error:
        return replace(checkpoint, problem=str(error))
    base = str(config.get("base_model_name_or_path") or "")
    if not base:
        return replace(checkpoint, problem="adapter_config.json names no base model (base_model_name_or_path)")
    if config.get("task_type") == "SEQ_CLS":
        return replace(checkpoint, base=base, method="reward", problem="an adapter of a reward model: it answers no prompts")
    return replace(checkpoint, base=locate_base(base, folder), problem=find_problem(folder, ADAPTER))


def explain_load_failure(checkpoint: Checkpoint, error: Exception) -> str:
    """Why the checkpoint cannot be loaded.  An adapter from another machine often names a base that is not on this one."""
    if isinstance(error, OSError) and checkpoint.base and not Path(checkpoint.base).is_dir():
        return (
            f"{checkpoint.path} is an adapter of {checkpoint.base}, which is no folder here and could not be had from the Hub "
            f"({str(error).splitlines()[0]}).\nWrite the base's folder into adapter_config.json (base_model_name_or_path)."
        )
    return f"{checkpoint.path} cannot be loaded: {type(error).__name__}: {error}"


def locate_base(base: str, folder: Path) -> str:
    """The base as a folder where there is one (as written, in the adapter's folder or next to it), else as a Hub name."""
    for candidate in (Path(base), folder / base, folder.parent / base):
        if candidate.is_dir():
            return str(candidate)
    return base
