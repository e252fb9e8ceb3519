"""The tokenizer of a checkpoint, with the checkpoint's own chat template."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import transformers

from harness.bounded_work import DONE, FAILED, MEMORY, SECONDS, try_in_child
from harness.loading.gguf import source_arguments
from harness.loading.settings import LoadSettings
from harness.own_template import find_own_template, give_own_template
from harness.prompts.tokenization import require_vocabulary
from harness.prompts.tokenizer_cache import CachedTokenizer, LastTokenizer, tokenizer_key
from harness.tokenizer_folders import tokenizer_source
from harness.types import Checkpoint, SkilldeltaError

# What prompts are made of: prose, letters again and again, numbers, code, blanks, other scripts.
TRIAL_TEXTS = (
    "How many apples are left in the basket today?  Think about it, and write the number alone.\n" * 20,
    "a" * 500 + "!" + " " * 200 + "\n" * 50 + "0123456789" * 20,
    "def f(x):\n    return [x ** 2 for _ in range(10)]  # naïve café, 你好, 🙂\n" * 10,
)


def require_bounded(tokenizer: Any, source: str) -> None:
    """SkilldeltaError for a tokenizer that takes memory or time without bounds, tried in a process that can be ended.

    A tokenizer.json is a program: expressions that backtrack, and replacements that multiply a text.  Errors of its own are
    left to the caller, which meets them with its own texts.
    """

    def encode() -> Iterator[Any]:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # of the child, which has none of the parent's threads
        return (tokenizer.encode(text) for text in TRIAL_TEXTS)

    if try_in_child(encode, SECONDS) not in (DONE, FAILED):
        raise SkilldeltaError(
            f"The tokenizer of {source} takes more than {SECONDS:.0f} s or {MEMORY >> 20} MiB for a text of "
            f"{max(map(len, TRIAL_TEXTS)):,} letters: tokenizer.json is damaged or made to hurt."
        )


def load_tokenizer(checkpoint: Checkpoint, settings: LoadSettings, last: LastTokenizer) -> CachedTokenizer:
    """The checkpoint's own tokenizer, or its base's with the checkpoint's own template; the last one where it is the same."""
    source, template = tokenizer_source(checkpoint), find_own_template(checkpoint)
    (place, file), remote = source_arguments(source), settings.remote(source)

    def load() -> Any:
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **file, **remote)
        require_bounded(tokenizer, source)
        return give_own_template(require_vocabulary(tokenizer, source), checkpoint)

    return last.get(tokenizer_key(source, remote, *([template] if template else [])), load)
