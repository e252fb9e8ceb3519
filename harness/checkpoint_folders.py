"""A folder as a checkpoint: a whole model or an adapter, with what is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.bounded_files import is_folder, read_json
from harness.folder_entries import list_entries
from harness.integrity import ADAPTER, ADAPTER_CONFIG, INDEXES, SINGLE, find_problem
from harness.numbered_folders import list_numbered as list_numbered  # plug-ins take it from here
from harness.types import Checkpoint
from harness.visible_text import first_line, printable, show_value, without_credentials

HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
MAX_ADAPTERS = 8  # one upon the other
SEARCHED_PARENTS = 4  # of an adapter's folder, in which a folder of its base's name is looked for
CLASSIFIER_TASKS = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")  # peft's names
CLASSIFIERS = (
    "Classification",
    "RewardModel",
    "ForScore",
    "ValueModel",
    "CriticModel",
    "SequenceRegression",
)  # in the names of classes that grade texts
VALUE_HEADS = ("value_head.safetensors", "value_head.bin", "v_head.safetensors", "v_head.bin")  # LLaMA-Factory's, and others'
POLICY_METHODS = ("ppo", "grpo", "rloo", "dpo", "sft", "kto", "orpo", "online-dpo")  # that make a model which answers prompts
POLICY_FOLDER = re.compile(r"^(?:policy|actor|adapter_model|lora_adapter|huggingface|hf|model)", re.IGNORECASE)
OTHER_MODEL = re.compile(
    r"critic|value|reward|ref(?:erence)?(?:_|$)|optim|tokenizer", re.IGNORECASE
)  # folders next to a policy
NEEDS_BASE = "--base DIR"  # in each problem that another base solves
NAME_BASE = f"name the base's folder with {NEEDS_BASE}, or put it next to the adapter"
TORCHTUNE_ADAPTER = "adapter_model.pt"  # torchtune writes it beside peft's form, and copies no weights of the base
TWO_MODELS = (
    "a whole model and an adapter without another base lie in one folder.  If the adapter is merged into the model (torchtune "
    "saves both), move adapter_config.json and adapter_model.* away; if the model is its base, put it into its own folder, "
    f"and name that with {NEEDS_BASE}"
)
REWARD_MODEL = "it answers no prompts"
REWARD_KEY = re.compile(
    r"^(?:base_model\.model\.|model\.|module\.)*"
    r"(?:score(?:_head)?|(?:reward|rm|value|regression|classification)_head)"
    r"(?:\.\w+)*\.(?:weight|bias)$"
)


def describe_model(folder: Path, name: str) -> Checkpoint | None:
    """The whole model or the adapter in `folder`; None when there is neither."""
    if os.path.lexists(folder / ADAPTER_CONFIG):
        return describe_adapter(folder, name)
    return describe_whole_model(folder, name) if has_model_config(folder) else None


def has_model_config(folder: Path) -> bool:
    """Whether config.json is a model's.  Experiments keep settings of their own under this name, without weights."""
    if not os.path.lexists(folder / "config.json"):
        return False
    try:
        config = read_json(folder / "config.json")
    except ValueError:
        return True  # half-written, or damaged: the checkpoint's problem says so
    return bool({"model_type", "architectures"} & set(config) or any(os.path.lexists(folder / name) for name in SINGLE))


def has_weights(folder: Path) -> bool:
    """Whether a whole model's weights lie in a folder, in whatever state."""
    return any(os.path.lexists(folder / name) for name in (*SINGLE, *INDEXES))


def describe_whole_model(folder: Path, name: str) -> Checkpoint:
    """A folder with config.json as a checkpoint.  A reward model has a problem: it answers no prompts."""
    checkpoint = Checkpoint(name, str(folder), "transformers")
    try:
        config = read_json(folder / "config.json")
    except ValueError as error:
        return replace(checkpoint, problem=printable(str(error)))
    if fault := find_config_fault(config):
        return replace(checkpoint, problem=f"config.json is damaged: {fault}")
    heads = [str(head) for head in config.get("architectures") or ()]
    if any(kind in head for head in heads for kind in CLASSIFIERS):
        problem = f"a reward model or classifier ({printable(heads[0])}): {REWARD_MODEL}"
        return replace(checkpoint, method="reward", problem=problem)
    return replace(checkpoint, problem=find_problem(folder, SINGLE))


def find_config_fault(config: Mapping[str, Any]) -> str:
    """What no model's config.json says; "" where nothing is absurd."""
    architectures = config.get("architectures")
    if not isinstance(architectures, list | None):
        return f"architectures is {show_value(architectures)}, not a list"
    if odd := [head for head in architectures or () if not isinstance(head, str)]:
        return f"architectures holds {show_value(odd[0])}, not a name"
    for key, value in config.items():
        is_size = key.startswith(("num_", "n_")) or key.endswith(("_size", "_layers", "_heads"))
        if is_size and isinstance(value, int | float) and not isinstance(value, bool) and not 0 <= value < 1e12:
            return f"{printable(key)} is {value}"
    return ""


def describe_adapter(folder: Path, name: str) -> Checkpoint:
    """A folder with adapter_config.json as a checkpoint, with the base that it changes."""
    if os.path.lexists(folder / TORCHTUNE_ADAPTER) and has_weights(folder) and has_model_config(folder):
        return describe_whole_model(folder, name)  # the same adapter, merged into its base
    checkpoint = Checkpoint(name, str(folder), "peft")
    try:
        config = read_json(folder / ADAPTER_CONFIG)
    except ValueError as error:
        return replace(checkpoint, problem=printable(str(error)))
    base = without_credentials(config.get("base_model_name_or_path") or "")
    if not isinstance(base, str):
        return replace(checkpoint, problem="adapter_config.json is damaged: base_model_name_or_path is no text")
    if config.get("task_type") in CLASSIFIER_TASKS:
        problem = f"an adapter of a reward model: {REWARD_MODEL}"
        return replace(checkpoint, base=printable(locate_base(base, folder)), method="reward", problem=problem)
    adapter = locate_bases(replace(checkpoint, problem=find_problem(folder, ADAPTER)), base)
    if NEEDS_BASE in adapter.problem and has_weights(folder) and has_model_config(folder):
        return replace(adapter, problem=TWO_MODELS)
    return adapter


def name_base(checkpoint: Checkpoint, base: str) -> Checkpoint:
    """An adapter on the base that the user named: the whole model below all its adapters, or the adapter below it."""
    problem = "" if NEEDS_BASE in checkpoint.problem else checkpoint.problem
    if checkpoint.adapters and not (Path(base) / ADAPTER_CONFIG).is_file():
        return replace(checkpoint, base=base, problem=problem)
    return locate_bases(replace(checkpoint, problem=problem), base)


def locate_bases(checkpoint: Checkpoint, base: str) -> Checkpoint:
    """An adapter with the whole model at its root, and the adapters between the two."""
    between: list[str] = []
    folder = Path(checkpoint.path)
    while True:
        place = locate_base(base, folder)
        if not os.path.lexists(Path(place) / ADAPTER_CONFIG) or not is_folder(place):
            break
        if place in between or Path(place).resolve() == Path(checkpoint.path).resolve() or len(between) == MAX_ADAPTERS:
            return replace(checkpoint, problem=f"an adapter whose bases are adapters without end: {place}; {NAME_BASE}")
        between.insert(0, place)
        try:
            folder, base = Path(place), str(read_json(Path(place) / ADAPTER_CONFIG).get("base_model_name_or_path") or "")
        except ValueError as error:
            return replace(checkpoint, problem=f"its base {place}: {error}; {NAME_BASE}")
    problem = checkpoint.problem or explain_missing_base(place)
    return replace(checkpoint, base=printable(place), adapters=tuple(between), problem=problem)


def locate_base(base: str, folder: Path) -> str:
    """The base as a folder where there is one (as written, in the adapter's folder or next to it), else as a Hub name.

    A path from another machine: a model in a folder of its last part's name near the adapter.
    """
    is_name = bool(base.strip("./"))  # ".." is meant from the adapter's folder, not from where the program was started
    for candidate in (base, str(folder / base), str(folder.parent / base)) if is_name else (str(folder / base),):
        if is_folder(candidate) and Path(candidate).resolve() != folder.resolve():
            return candidate
    if not is_name:
        return ""
    last = base.replace("\\", "/").rstrip("/").rpartition("/")[2]
    for parent in list(folder.resolve().parents)[:SEARCHED_PARENTS] if last.strip(".") else ():
        candidate = str(parent / last)
        if is_folder(candidate) and has_model_files(Path(candidate)) and Path(candidate) != folder.resolve():
            return candidate
    return base


def has_model_files(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in ("config.json", ADAPTER_CONFIG))


def explain_missing_base(base: str) -> str:
    """Why the base cannot be had; "" where it is a folder, or a model that the Hub may have."""
    if not base:
        return f"adapter_config.json names no base model (base_model_name_or_path): {NAME_BASE}"
    if is_folder(base):
        return "" if has_model_files(Path(base)) else f"its base {base} holds no model: {NAME_BASE}"
    if is_hub_name(base):
        return ""
    return f"its base {printable(base)[:200]} is not here: {NAME_BASE}"


def is_hub_name(name: str) -> bool:
    """Whether the Hub could have a model of this name; "gpt2" is one, a path from another machine is none."""
    return bool(HUB_NAME.match(name) or re.fullmatch(r"[\w.-]+", name)) and not name.startswith(".") and ".." not in name


def explain_load_failure(checkpoint: Checkpoint, error: Exception) -> str:
    """Why the checkpoint cannot be loaded.  An adapter from another machine often names a base that is not on this one."""
    reason = first_line(error)
    if isinstance(error, OSError) and checkpoint.base and not is_folder(checkpoint.base):
        return (
            f"{checkpoint.path} is an adapter of {checkpoint.base}, which is no folder here and could not be had from the Hub "
            f"({reason}).\nName the base's folder with --base DIR, or write it into adapter_config.json."
        )
    return f"{checkpoint.path} cannot be loaded: {type(error).__name__}: {error}"


def find_reward_keys(names: Iterable[str]) -> list[str]:
    """The names of tensors that only a model that grades texts has: a head with one number for a text."""
    return sorted(name for name in names if REWARD_KEY.match(name))


def describe_nested(folder: Path, name: str) -> Checkpoint | None:
    """The model in `folder`, or the policy in a folder of its own in it (adapter_model/, policy_lora/, huggingface/ ...)."""
    if checkpoint := describe_model(folder, name):
        return checkpoint
    folders = [folder / name for name in list_entries(folder).folders]
    children = sorted(folders, key=lambda p: (not POLICY_FOLDER.match(p.name), p.name))
    models = [child for child in children if not OTHER_MODEL.search(child.name) and has_model_files(child)]
    is_clear = len(models) == 1 or (models and POLICY_FOLDER.match(models[0].name))  # else each is a checkpoint of its own
    return describe_model(models[0], name) if is_clear else None


def explain_value_head(checkpoint: Checkpoint) -> Checkpoint:
    """A policy with a value head is a policy; without a log of its training that says so, a reward model (LLaMA-Factory's).

    TRL keeps the value head of a policy in the same file as its weights, and never that of a reward model.
    """
    folder = Path(checkpoint.path)
    file = next((name for name in VALUE_HEADS if (folder / name).is_file()), "")
    words = re.split(r"[^a-z]+", f"{folder.parent.name}/{folder.name}".lower())
    is_policy = checkpoint.method in POLICY_METHODS or (not checkpoint.method and {"ppo", "policy", "actor"} & set(words))
    if checkpoint.problem or (not file and checkpoint.method != "reward") or (file and is_policy):
        return checkpoint
    sign = f"{file} lies next to its weights" if file else "its log is that of a reward model's training"
    way_out = "; if it is the policy of a PPO run, move that file away" if file and not checkpoint.method else ""
    return replace(checkpoint, method="reward", problem=f"a reward model ({sign}): {REWARD_MODEL}{way_out}")


def printable_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint whose problem can be shown on a terminal."""
    return replace(checkpoint, problem=printable(checkpoint.problem), method=printable(checkpoint.method)[:40])


def describe_path(path: str) -> Checkpoint:
    """A folder or Hub name as a checkpoint, with its base where it is an adapter."""
    folder = Path(path)
    model = describe_model(folder, folder.name) if folder.is_dir() else None
    return model or Checkpoint(folder.name, path, "transformers")


def adapter_folders(checkpoint: Checkpoint) -> list[str]:
    """The adapters that change the base, in the order in which they do."""
    return [*checkpoint.adapters, checkpoint.path] if checkpoint.base else []
