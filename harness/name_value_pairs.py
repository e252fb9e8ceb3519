"""Names, and names with values, in one text, as people type them on the command line: a,b and a=1,b=two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.types import SkilldeltaError


def split_names(texts: Iterable[str] | None) -> list[str]:
    """The names in the values of a flag that may be repeated, each several names with commas between them."""
    return [name.strip() for text in texts or () for name in text.split(",") if name.strip()]


def parse_pairs(text: str | Sequence[str]) -> dict[str, str]:
    """ "a=1,b=two" as names and values (lm-eval's --model_args and --gen_kwargs)."""
    parts = text.split(",") if isinstance(text, str) else list(text)
    values = {}
    for part in (p.strip() for p in parts):
        if part:
            key, equals, value = part.partition("=")
            if not equals:
                raise SkilldeltaError(f"{part!r} is not name=value: write one NAME=VALUE, or several with commas between them.")
            values[key.strip()] = value.strip()
    return values
