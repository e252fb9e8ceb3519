"""Where the tokenizer of a checkpoint lies: in its own folder, its run's, or its base's."""

from __future__ import annotations

import os
from pathlib import Path

from harness.folder_entries import find_entries
from harness.types import Checkpoint

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
# What transformers' tokenizers read beside the files that every one of them may have.
OTHER_VOCABULARIES = (
    *("vocab.txt", "spiece.model", "tekken.json", "*.tiktoken", "sentencepiece*.model", "spm*.model", "*.spm", "bpe.codes"),
    *("dict.txt", "vocab-*.json", "*_vocab.json", "byte_maps.json", "emoji.json", "normalizer.json", "prophetnet.tokenizer"),
)
TEMPLATE_FOLDER = "additional_chat_templates"
VOCABULARIES = (TOKENIZER, "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def tokenizer_source(checkpoint: Checkpoint) -> str:
    """The folder or Hub name of the tokenizer: the one that was named, the checkpoint's own, its run's, or its base's.

    A folder with settings of a tokenizer, and no vocabulary, has none: copies of runs often leave large files out.
    """
    if checkpoint.tokenizer:
        return checkpoint.tokenizer
    own = next((place for place in own_folders(checkpoint) if has_tokenizer(Path(place))), "")
    return own or checkpoint.base or checkpoint.path


def other_tokenizer_files(folder: Path) -> list[Path]:
    """The vocabularies beside tokenizer.json and its like, and the templates beside the ordinary one."""
    templates = sorted(find_entries(folder / TEMPLATE_FOLDER, "*.jinja"))
    return sorted({file for name in OTHER_VOCABULARIES for file in find_entries(folder, name)}) + templates


def own_folders(checkpoint: Checkpoint) -> list[str]:
    """Where a checkpoint's own files are looked for: in its folder, its run's, and those of the adapters below it."""
    return [checkpoint.path, *([checkpoint.run] if checkpoint.run else []), *reversed(checkpoint.adapters)]


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer's settings and its vocabulary lie in a folder."""
    return has_vocabulary(folder) and os.path.lexists(folder / TOKENIZER_CONFIG)


def has_vocabulary(folder: Path) -> bool:
    return any((folder / name).is_file() for name in VOCABULARIES) or bool(find_entries(folder, "*.tiktoken"))
