"""A run's own chat template where its tokenizer is another folder's: many adapters are saved with their template alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.bounded_files import read_bytes, read_json
from harness.tokenizer_folders import TEMPLATE_FOLDER, TOKENIZER_CONFIG, has_tokenizer, own_folders, tokenizer_source
from harness.types import Checkpoint, SkilldeltaError
from harness.visible_text import show_value

Template = str | dict[str, str]  # one, or several by name
JINJA, LEGACY = "chat_template.jinja", "chat_template.json"
MAX_TEMPLATE = 1_000_000  # bytes; the longest that people publish have about 30,000


def find_own_template(checkpoint: Checkpoint) -> Template | None:
    """The template of the checkpoint, its run or a lower adapter that goes with a vocabulary from elsewhere.

    None where there is none, and where the tokenizer's own folder says it.  A tokenizer that the user named keeps its template.
    SkilldeltaError for a damaged one.
    """
    if checkpoint.tokenizer:
        return None
    source = tokenizer_source(checkpoint)
    for place in own_folders(checkpoint):
        if place == source or has_tokenizer(Path(place)):
            return None
        if template := read_template(Path(place)):
            return template
    return None


def read_template(folder: Path) -> Template | None:
    """The chat template in a folder: of chat_template.jinja, of tokenizer_config.json, or of older files."""
    try:
        files = {file.stem: read_source(file) for file in sorted((folder / TEMPLATE_FOLDER).glob("*.jinja"))}
        if os.path.lexists(folder / JINJA):
            files["default"] = read_source(folder / JINJA)
        if files:
            return files["default"] if set(files) == {"default"} else files
        for name in (TOKENIZER_CONFIG, LEGACY):
            if os.path.lexists(folder / name) and (value := read_json(folder / name).get("chat_template")) is not None:
                return check_template(value, name)
    except (OSError, ValueError) as error:
        raise SkilldeltaError(f"The chat template of {folder} cannot be read: {error}.") from error
    return None


def read_source(file: Path) -> str:
    """The text of a template's file.  ValueError where it is none."""
    return read_bytes(file, MAX_TEMPLATE).decode().replace("\r\n", "\n").replace("\r", "\n")


def check_template(value: Any, name: str) -> Template:
    """The template in a tokenizer's settings: a text, or a list of named ones.  ValueError for anything else."""
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        value = {str(entry.get("name")): entry.get("template") for entry in value}
    texts = [value] if isinstance(value, str) else list(value.values()) if isinstance(value, dict) else [None]
    if not all(isinstance(text, str) and len(text) <= MAX_TEMPLATE for text in texts):
        raise ValueError(f"chat_template in {name} is no template: {show_value(value)}")
    template: Template = value
    return template


def give_own_template(tokenizer: Any, checkpoint: Checkpoint) -> Any:
    """The tokenizer, with the checkpoint's own template where its files have another one, or none."""
    if template := find_own_template(checkpoint):
        tokenizer.chat_template = template
    return tokenizer
