"""A plain transformers folder: config.json beside weights."""

from __future__ import annotations

from pathlib import Path

from harness.integrity import SINGLE, problem, read_json
from harness.types import Checkpoint

ORDER = 30  # asked after the producers that know more about a folder


def find(path: Path) -> list[Checkpoint]:
    """The model in `path`, if it holds a config.json; ready or with what is wrong."""
    return [describe(path, path.name)] if (path / "config.json").is_file() else []


def describe(folder: Path, name: str) -> Checkpoint:
    """A folder with config.json as a checkpoint.  A reward model is named as such: it answers no prompts."""
    try:
        config = read_json(folder / "config.json")
    except ValueError as error:
        return Checkpoint(name, str(folder), "transformers", problem=str(error))
    heads = [str(a) for a in config.get("architectures") or ()]
    if any(a.endswith("ForSequenceClassification") for a in heads):
        fault = f"a reward model or classifier ({heads[0]}): it answers no prompts"
        return Checkpoint(name, str(folder), "transformers", method="reward", problem=fault)
    return Checkpoint(name, str(folder), "transformers", problem=problem(folder, SINGLE))
