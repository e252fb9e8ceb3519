"""What checkpoints with the same tokenizer share: its texts are encoded, and their trees are grown, for the first one alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from harness import fingerprint
from harness.prompts.tokenization import Tokens
from harness.types import digest

NAMES = ("token*", "vocab*", "merges*", "special*", "added*", "chat_template*", "*.model", "*.tiktoken")
MOST = 4_000_000  # tokens of trees that are kept, about 40 bytes each


class Sized(Protocol):
    @property
    def size(self) -> int:
        """Tokens in its tree."""
        ...


T = TypeVar("T", bound=Sized)


class Family:
    """A tokenizer, and what was made ready with it: by what was asked, and of what kind of engine."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.windows: dict[int, Tokens] = {}
        self.kept: dict[Hashable, Any] = {}
        self.size = 0

    def tokens(self, window: int) -> Tokens:
        """The tokenizer for models of that window."""
        return self.windows.setdefault(window, Tokens(self.tokenizer, window))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made before under that key, or is made now and kept as long as there is room."""
        if key in self.kept:
            found: T = self.kept[key]
            return found
        new = make()
        if self.size + new.size <= MOST:
            self.size += new.size
            self.kept[key] = new
        return new


class Last:
    """The family of the checkpoint that was loaded last: they come one after another."""

    def __init__(self) -> None:
        self.key = ""
        self.family: Family | None = None

    def of(self, key: str, load: Callable[[], Any]) -> Family:
        """The family with that key ("": one of its own); `load` gives the tokenizer where it is another than before."""
        if self.family is None or not key or key != self.key:
            self.family, self.key = Family(load()), key
        return self.family


def key(source: str, *more: object) -> str:
    """What makes two tokenizers the same: the content of their files, and `more`; "" where there is no folder to read."""
    folder = Path(source)
    if not folder.is_dir():
        return ""
    files = sorted({file for name in NAMES for file in folder.glob(name) if file.is_file()})
    config = folder / "config.json"
    about = json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}
    kind = [about.get(n) for n in ("model_type", "tokenizer_class", "auto_map")]
    return digest([fingerprint.files(files), kind, [str(m) for m in more]])
