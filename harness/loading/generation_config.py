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

GENERATION_CONFIG = "generation_config.json"


def read_generation_config(source: str, settings: LoadSettings = LoadSettings()) -> Any:
    """The generation settings of a folder or Hub model; None where it has none.

    BrokenWeightsError where the file is damaged: it may name the tokens that end an answer.
    """
    if os.path.lexists(file := Path(source) / GENERATION_CONFIG):
        try:
            read_json(file)
        except UnreadableFileError as error:
            raise BrokenWeightsError(str(error)) from error
    try:
        place = source_arguments(source)[0]
        return transformers.GenerationConfig.from_pretrained(place, revision=settings.remote(source)["revision"])
    except OSError:  # the file is optional
        return None
