"""The texts in a row of data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.types import Json

# Letters of scripts that put no spaces between words: Thai to Burmese, Khmer, Japanese, Chinese.
NO_SPACES = re.compile(r"[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
MAX_LABEL = 4  # letters of such a script in a label; more are words
SENTENCE_WORDS, CLAUSE_WORDS = 13, 4  # a text of so many words is a sentence; so is one of the latter that ends like one


def decode_text(text: str) -> Any:
    """The value that a text is the JSON of, be it NaN.  ValueError where it is none, or nested too deeply."""
    from harness.json_texts import decode_json  # here, because most rows hold none

    return decode_json(text, allows_nan=True)


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


def names_without_rows(names: Iterable[str], rows: Iterable[Json]) -> list[str]:
    """Those of the names that no row has as a key, at any depth, nor in quotes inside a text: some files hold JSON as text."""
    missing = dict.fromkeys(names)
    for row in rows:
        if not missing:
            break
        rest: list[Any] = [row]
        while rest:
            part = rest.pop()
            if isinstance(part, str):
                present = [name for name in missing if f'"{name}"' in part]
            else:
                present = [name for name in missing if name in part] if isinstance(part, Mapping) else []
                rest += part.values() if isinstance(part, Mapping) else part if isinstance(part, Sequence) else ()
            for name in present:
                missing.pop(name)
    return list(missing)


def holds_words(value: Any) -> bool:
    """Is there a text of more than one word in a value, at any depth?  Numbers, flags, labels and ids are no words."""
    if isinstance(value, str):
        return len(value.split()) > 1 or len(NO_SPACES.findall(value)) > MAX_LABEL
    if isinstance(value, Mapping):
        return any(map(holds_words, value.values()))
    return isinstance(value, Sequence) and any(map(holds_words, value))


def holds_sentence(value: Any) -> bool:
    """Does a value hold a sentence, at any depth?  A label has fewer words."""
    for text in nested_texts(value):
        count = len(text.split())
        if count >= SENTENCE_WORDS or (count >= CLAUSE_WORDS and text.rstrip().endswith((".", "?", "!", ":"))):
            return True
        if len(NO_SPACES.findall(text)) > SENTENCE_WORDS:
            return True
    return False


def split_columns(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One message, or the messages that a table holds as lists by key: {"role": [...], "content": [...]}."""
    columns = [column for column in value.values() if isinstance(column, list)]
    if len(columns) < len(value) or not value.keys() & {"content", "value"} or len(set(map(len, columns))) > 1:
        return [value]
    return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
