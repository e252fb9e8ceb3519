"""The settings of a model for texts that it generates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import transformers

from harness.bounded_files import UnreadableFileError, read_json
from harness.integrity import BrokenWeightsError
from harness.loading.gguf import source_arguments
from harness.loading.settings import LoadSettings
from harness.visible_text import printable, show_value

GENERATION_CONFIG = "generation_config.json"


def read_generation_config(source: str, settings: LoadSettings = LoadSettings()) -> Any:
    """The generation settings of a folder or Hub model; None where it has none.

    BrokenWeightsError where the file is damaged: it may name the tokens that end an answer.
    """
    if os.path.lexists(file := Path(source) / GENERATION_CONFIG):
        try:
            content = read_json(file)
        except UnreadableFileError as error:
            raise BrokenWeightsError(str(error)) from error
        refuse_end_tokens(content.get("eos_token_id"))
    try:
        place = source_arguments(source)[0]
        return transformers.GenerationConfig.from_pretrained(place, revision=settings.remote(source)["revision"])
    except OSError:  # the file is optional
        return None
    except (ValueError, TypeError, AttributeError) as error:
        raise BrokenWeightsError(f"{GENERATION_CONFIG} cannot be used: {printable(str(error))[:200]}") from error


def refuse_end_tokens(value: object) -> None:
    """Raises BrokenWeightsError for tokens that would never end an answer, as they are no numbers of tokens."""
    ids = value if isinstance(value, list) else [value]
    if any(not isinstance(token, int) or isinstance(token, bool) for token in ids if token is not None):
        raise BrokenWeightsError(
            f"{GENERATION_CONFIG} is damaged: eos_token_id is {show_value(value)}, no token's number or list of them"
        )
