"""The tokenizer of a checkpoint, with the checkpoint's own chat template."""

from __future__ import annotations

from typing import Any

import transformers

from harness.loading.gguf import source_arguments
from harness.loading.settings import LoadSettings
from harness.own_template import find_own_template, give_own_template
from harness.prompts.tokenization import require_vocabulary
from harness.prompts.tokenizer_cache import CachedTokenizer, LastTokenizer, tokenizer_key
from harness.tokenizer_folders import tokenizer_source
from harness.types import Checkpoint


def load_tokenizer(checkpoint: Checkpoint, settings: LoadSettings, last: LastTokenizer) -> CachedTokenizer:
    """The checkpoint's own tokenizer, or its base's with the checkpoint's own template; the last one where it is the same."""
    source, template = tokenizer_source(checkpoint), find_own_template(checkpoint)
    (place, file), remote = source_arguments(source), settings.remote(source)

    def load() -> Any:
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **file, **remote)
        return give_own_template(require_vocabulary(tokenizer, source), checkpoint)

    return last.get(tokenizer_key(source, remote, *([template] if template else [])), load)
