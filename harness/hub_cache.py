"""Models of the Hugging Face Hub as they lie in this machine's cache: nothing is fetched."""

from __future__ import annotations

import os
from pathlib import Path


def snapshot_folder(name: str, revision: str = "") -> Path | None:
    """The folder of the cached snapshot of a model; None where its config is not in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for file in ("config.json", "adapter_config.json"):
        try:
            place = try_to_load_from_cache(name, file, revision=revision or None)
        except HFValidationError:
            return None
        if isinstance(place, str):
            return Path(place).parent
    return None


def split_revision(name: str) -> tuple[str, str]:
    """The name and the revision of "org/model@revision"; "" for the newest."""
    model, _, revision = name.partition("@")
    return model, revision


def hub_place(source: str, revision: str) -> tuple[str, str]:
    """A model's name and the revision that "org/model@revision", else `revision`, names; a folder as it is."""
    if os.path.lexists(source):
        return source, ""
    name, own_revision = split_revision(source)
    return name, own_revision or revision


def is_offline() -> bool:
    """Whether the Hub is not to be asked (HF_HUB_OFFLINE)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def explain_absence(name: str, revision: str = "") -> str:
    """Why a model, or the base of an adapter, cannot be had from the Hub; "" where it is cached, or can be asked for."""
    if not is_offline() or snapshot_folder(name, revision):
        return ""
    return "there is no such folder here, it is not in the Hub's cache, and the Hub may not be asked (HF_HUB_OFFLINE)"
