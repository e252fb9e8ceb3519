"""JSON of unknown origin, parsed within bounds of memory and depth."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

MAX_DEPTH = 200  # of lists and objects within one another; Python's own functions give up at about 1,000
MAX_OPENINGS = 40_000_000  # of lists and objects, 64 bytes of memory each, also where they stand in texts


def decode_json(text: bytes | str, allows_nan: bool = False, once: bool = False) -> Any:
    """The JSON value in a text.  ValueError where it is none, is nested too deeply, or holds NaN or Infinity.

    `allows_nan`: programs that are not strict about JSON write NaN and Infinity.  `once`: no object has a key twice, of which
    most programs take the last one and some the first.
    """
    content = text if isinstance(text, str) else text.decode("utf-8")
    if (openings := content.count("[") + content.count("{")) > MAX_OPENINGS:
        raise ValueError(f"it has more than {MAX_OPENINGS:,} brackets and braces that open")
    hooks: dict[str, Any] = {} if allows_nan else {"parse_constant": refuse_constant}
    try:
        value = json.loads(content, **hooks, object_pairs_hook=build_object if once else None)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if openings > MAX_DEPTH and is_deep(value):
        raise ValueError("it is nested too deeply")
    return value


def refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number in JSON")


def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values.  ValueError where a key is there twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:80]!a} is there twice")
    return content


def is_deep(value: Any) -> bool:
    """Whether lists and objects lie within one another in more than MAX_DEPTH levels."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        parts = [part for part in level if isinstance(part, dict | list)]
        if not parts:
            return False
        level = [child for part in parts for child in (part.values() if isinstance(part, dict) else part)]
    return True
