"""The texts in a row of data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def nested_texts(value: Any) -> Iterator[str]:
    """The texts of a JSON value in their order; keys are none."""
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping):
            rest += reversed(tuple(part.values()))
        elif isinstance(part, Sequence):
            rest += reversed(part)
