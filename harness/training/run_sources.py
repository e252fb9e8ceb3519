"""What a run is made from: data, models and files that its settings name, by the hashes of their content.

A name says little: a file is edited, a run folder stands for its last checkpoint, and that changes while it trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.file_hashes import hash_files
from harness.training.reward_settings import RewardSettings, reward_model_folder
from harness.training.saved_state import ANEW, SavedRun
from harness.training.settings import TrainerSettings
from harness.types import Json, SkilldeltaError


def describe_sources(config: TrainerSettings, describe_model: Callable[[str], Json]) -> dict[str, Any]:
    """The models that a run starts from, and the hashes of the other files that decide its weights or its best checkpoint.

    `describe_model`: what is recorded of a model, by its name or folder.
    """
    reward = reward_model_folder(config) if isinstance(config, RewardSettings) else ""
    models = {"base": config.model} | ({"reward_model": reward} if reward else {})
    files = {name: hash_files([Path(name)]) for name in (*config.eval_data, config.template) if name}
    return {name: describe_model(model) for name, model in models.items()} | {"files": {n: h for n, h in files.items() if h}}


def check_same_sources(folder: Path, previous: SavedRun, data: Sequence[Json], now: Mapping[str, Any]) -> None:
    """Raises SkilldeltaError if a run began with another content of its data, its models or its other files.

    What the record of an older version does not hold cannot be compared.
    """
    before = {"base": previous.base, "reward_model": previous.reward_model}
    names = [b["source"] for b, n in zip(previous.data, data, strict=False) if b["sha256"] != n["sha256"]]
    names += [name for name, part in now["files"].items() if previous.files.get(name, part) != part]
    for name, facts in before.items():
        old, new = facts.get("fingerprint") or {}, now.get(name, {}).get("fingerprint", {})
        if any(old[part] != new[part] for part in old.keys() & new.keys()):
            places = list(dict.fromkeys((facts["path"], now[name]["path"])))
            names.append(places[0] if len(places) == 1 else f"{places[1]} (it began with {places[0]})")
    if names:
        raise SkilldeltaError(f"{folder} holds a run that began with other content of {', '.join(names)}.  {ANEW}")


def check_same_method(folder: Path, previous: SavedRun, method: str) -> None:
    """Raises SkilldeltaError for a run of another trainer, whose settings may be the same."""
    if previous.method not in ("", method):
        raise SkilldeltaError(f"{folder} holds a run of the method {previous.method}, and this one is {method}.  {ANEW}")
