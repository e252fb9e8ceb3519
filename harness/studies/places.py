"""Files and folders that a study file names: absolute where they exist, as its stages run in another folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.bounded_files import is_there

PLACES = ("base", "data", "eval_data", "include_path", "reward", "sft", "tokenizer")  # settings and flags that name files
PLACES_OR_NAMES = ("apply_chat_template", "overlap_with", "template")  # or tasks and templates, without a dot or a slash


def absolute_path(path: Any) -> Any:
    """A path that exists as an absolute one, for stages run elsewhere; else as it is: a Hub name, or no text at all."""
    return str(Path(path).resolve()) if isinstance(path, str) and path and is_there(path) else path


def absolute_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of trainers, or flags of `score`, in which files and folders that exist have absolute paths."""
    return {name: absolute_value(name.replace("-", "_"), value) for name, value in settings.items()}


def absolute_value(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [absolute_value(name, each) for each in value]
    if not isinstance(value, str) or name not in (*PLACES, *PLACES_OR_NAMES):
        return value
    return ",".join(absolute_path(p) if name in PLACES or {"/", "."} & set(p) else p for p in value.split(","))
