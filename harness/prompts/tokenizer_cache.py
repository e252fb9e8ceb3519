"""What checkpoints with the same tokenizer share: texts are encoded, and trees are built, for the first of them alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from harness.bounded_files import read_json
from harness.file_hashes import hash_files
from harness.prompts.tokenization import WindowedTokenizer
from harness.tokenizer_folders import other_tokenizer_files
from harness.types import digest

TOKENIZER_FILES = ("token*", "vocab*", "merges*", "special*", "added*", "chat_template*", "*.model", "*.tiktoken")
MAX_CACHED_TOKENS = 4_000_000  # in the trees that are kept, about 40 bytes each


class HasSize(Protocol):
    @property
    def size(self) -> int:
        """Tokens in its tree."""


T = TypeVar("T", bound=HasSize)


class CachedTokenizer:
    """A tokenizer with the plans that were made with it."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.by_window: dict[int, WindowedTokenizer] = {}
        self.plans: dict[Hashable, Any] = {}
        self.size = 0

    def for_window(self, window: int) -> WindowedTokenizer:
        """The tokenizer for models of that window."""
        return self.by_window.setdefault(window, WindowedTokenizer(self.tokenizer, window))

    def plan_once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The plan under that key; a new one is kept as long as there is room.

        The key must hold everything that decides the plan: the requests, the template, the window, and which paths the
        engine takes.
        """
        plan: T = self.plans[key] if key in self.plans else make()
        if key not in self.plans and self.size + plan.size <= MAX_CACHED_TOKENS:
            self.size += plan.size
            self.plans[key] = plan
        return plan


class LastTokenizer:
    """The tokenizer of the checkpoint that was loaded last: those of one run come one after another, so one is enough."""

    def __init__(self) -> None:
        self.key = ""
        self.tokenizer: CachedTokenizer | None = None

    def get(self, key: str, load: Callable[[], Any]) -> CachedTokenizer:
        """The tokenizer with that key; `load` is called where it differs from the last, and where the key is ""."""
        if self.tokenizer is None or not key or key != self.key:
            self.tokenizer, self.key = CachedTokenizer(load()), key
        return self.tokenizer


def tokenizer_key(source: str, *settings: object) -> str:
    """What makes two tokenizers the same: the content of their files, and `settings`; "" where there is no folder to read."""
    folder = Path(source)
    if not folder.is_dir():
        return ""
    files = sorted({file for name in TOKENIZER_FILES for file in folder.glob(name)}) + other_tokenizer_files(folder)
    config_file = folder / "config.json"
    config = read_json(config_file) if config_file.exists() else {}
    kind = [config.get(n) for n in ("model_type", "tokenizer_class", "auto_map")]
    return digest([hash_files(files), kind, [str(s) for s in settings]])
