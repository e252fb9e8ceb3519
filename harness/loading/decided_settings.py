"""Which settings of the transformers backend a run's flags decide: known without loading a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness.bounded_files import read_bytes, read_json
from harness.config import changed_settings
from harness.differences import shorten_json
from harness.engine.device_names import default_device
from harness.own_template import JINJA, LEGACY, find_own_template
from harness.prompts.text_limits import WINDOWS
from harness.tokenizer_folders import TEMPLATE_FOLDER, TOKENIZER_CONFIG, tokenizer_source
from harness.types import Checkpoint, Json

Difference = tuple[str, str, str]
# Settings that decide how fast answers come, or that are named in the checkpoint's own hashes.
NEUTRAL = ("batch_size", "max_batch_tokens", "memory", "trust_remote_code")
# Options whose effect on the results has another name there, or none that can be known beforehand.
RECORDED_AS = {"attention": "attention", "engine": "engine", "max_length": "window", "revision": "revision"}


def requested_settings(options: Any) -> dict[str, Any]:
    """The settings that flags asked for and that can move an answer: those which are not at their default."""
    return changed_settings(options, NEUTRAL)


def settings_differences(checkpoint: Checkpoint, options: Any, old_settings: Json, old_flags: Json | None) -> list[Difference]:
    """Where the model would have other settings now than the stored ones, as (name, stored, now).

    `old_flags`: what flags asked for then; None in older results, of which only the settings themselves are known.
    """
    now, unlike = requested_settings(options), []
    new_settings = decide_template(checkpoint, options) | decide_numbers(checkpoint, options, old_settings, old_flags)
    for name, value in new_settings.items():
        if name in old_settings and not agrees(name, old_settings[name], value):
            unlike.append((f"backend.{name}", old_settings[name], value))
    for name in sorted({*now, *(old_flags or {})} - {"chat_template", "dtype", "device", "max_length"}):
        if now.get(name) == (old_flags or {}).get(name):
            continue
        effect = old_settings.get(RECORDED_AS.get(name, ""), None)
        if old_flags is None and name not in now:
            continue
        if name not in now or effect != now[name]:
            old = (old_flags or {}).get(name, effect if effect is not None else "as by default")
            unlike.append((name, old, now.get(name, "as by default")))
    return [(name, shorten_json(old), shorten_json(new)) for name, old, new in unlike]


def agrees(name: str, old: Any, value: Any) -> bool:
    """Whether a stored setting is the one that is decided now.  A template's text is part of the checkpoint's hashes."""
    if name != "template" or old == "raw":  # every prompt was rendered already
        return bool(old == value) or old == "raw"
    return bool(str(old).partition(":")[0] == value)


def decide_template(checkpoint: Checkpoint, options: Any) -> dict[str, Any]:
    """The kind of template; {} where only a model of the Hub says whether it has one."""
    if options.chat_template != "auto":
        return {"template": options.chat_template}
    if find_own_template(checkpoint):
        return {"template": "own"}
    source = Path(tokenizer_source(checkpoint))
    if not source.is_dir():
        return {}
    config = source / TOKENIZER_CONFIG
    is_in_config = config.is_file() and b'"chat_template"' in read_bytes(config)
    has_template = is_in_config or any((source / name).exists() for name in (JINJA, LEGACY, TEMPLATE_FOLDER))
    return {"template": "own" if has_template else "none"}


def decide_numbers(checkpoint: Checkpoint, options: Any, old_settings: Json, old_flags: Json | None) -> dict[str, Any]:
    """Device, type and window, as far as the flags and config.json decide them.

    The device that a machine happens to have is no difference: results are carried from one machine to another.
    """
    settings: dict[str, Any] = {}
    device = default_device(options.device).type
    if options.device or (old_flags or {}).get("device"):
        settings["device"] = device
    config = read_config_file(Path(checkpoint.base or checkpoint.path))
    if options.dtype != "auto":
        settings["dtype"] = options.dtype
    elif old_settings.get("device") == device:
        dtype = config.get("dtype") or config.get("torch_dtype") if device == "cuda" else "float32"
        settings |= {"dtype": dtype} if isinstance(dtype, str) and hasattr(torch, dtype) else {}
    window = options.max_length or next((config[n] for n in WINDOWS if isinstance(config.get(n), int)), 0)
    return settings | ({"window": window} if window else {})


def read_config_file(folder: Path) -> Mapping[str, Any]:
    """A model's config.json, of a model for several kinds of input the part about text; {} where there is none to read."""
    if not folder.is_dir():
        return {}
    try:
        config = read_json(folder / "config.json")
    except ValueError:
        return {}
    text = config.get("text_config")
    return config | text if isinstance(text, dict) else config
