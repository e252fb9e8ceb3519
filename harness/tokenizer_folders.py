"""Where the tokenizer of a checkpoint lies: in its own folder, its run's, or its base's."""

from __future__ import annotations

import os
from pathlib import Path

from harness.types import Checkpoint

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
VOCABULARIES = (TOKENIZER, "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def tokenizer_source(checkpoint: Checkpoint) -> str:
    """The folder or Hub name of the tokenizer: the one that was named, the checkpoint's own, its run's, or its base's.

    A folder with settings of a tokenizer, and no vocabulary, has none: copies of runs often leave large files out.
    """
    if checkpoint.tokenizer:
        return checkpoint.tokenizer
    places = [checkpoint.path, *([checkpoint.run] if checkpoint.run else []), *reversed(checkpoint.adapters)]
    own = next((place for place in places if has_tokenizer(Path(place))), "")
    return own or checkpoint.base or checkpoint.path


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer's settings and its vocabulary lie in a folder."""
    has_vocabulary = any((folder / name).is_file() for name in VOCABULARIES) or any(folder.glob("*.tiktoken"))
    return has_vocabulary and os.path.lexists(folder / TOKENIZER_CONFIG)
