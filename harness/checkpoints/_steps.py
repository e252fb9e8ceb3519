"""Folders numbered by training step, and the model in one of them: what the producers share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.checkpoints import peft, transformers
from harness.types import Checkpoint


def numbered(run: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """(step, folder) for each folder in `run` whose name the pattern matches, in the order of the numbers in its group 1."""
    return sorted((int(m.group(1)), p) for p, m in matching(run, pattern))


def matching(run: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in run.iterdir():
        match = pattern.match(path.name)
        if match and path.is_dir():
            yield path, match


def describe(folder: Path, name: str) -> Checkpoint | None:
    """What model lies in `folder`: whole model or adapter; None when there is neither."""
    if (folder / "adapter_config.json").is_file():
        return peft.describe(folder, name)
    return transformers.describe(folder, name) if (folder / "config.json").is_file() else None
