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
    return describe_whole_model(folder, name) if (folder / "config.json").is_file() else None


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


def locate_base(base: str, folder: Path) -> str:
    """The base as a folder where there is one (as written, in the adapter's folder or next to it), else as a Hub name."""
    for candidate in (Path(base), folder / base, folder.parent / base):
        if candidate.is_dir():
            return str(candidate)
    return base
