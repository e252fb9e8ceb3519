"""What needs a library to be read from a text: its sentences, words and language.  Nothing is downloaded, nothing is random."""

from __future__ import annotations

import functools
import re
from typing import Any

from harness.types import SkilldeltaError

WORD = re.compile(r"\w+")
RELATIONS = ("less than", "at least")


def compares(count: int, relation: str, bound: int) -> bool:
    """`count` stands in `relation` to `bound`."""
    if relation not in RELATIONS:
        raise SkilldeltaError(f"An IFEval relation is one of {', '.join(map(repr, RELATIONS))}; the row says {relation!r}.")
    return count < bound if relation == "less than" else count >= bound


@functools.cache
def splitter() -> Any:
    """Punkt with its English model, which is what the official scorer has from NLTK's downloads."""
    import punkt

    return punkt.tokenizer_for("english")


def count_sentences(text: str) -> int:
    return len(splitter().tokenize(text))


def words(text: str) -> list[str]:
    """Tokens as in the Penn Treebank, sentence by sentence; a hyphenated word is one token."""
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    return [word for sentence in splitter().tokenize(text) for word in tokenizer.tokenize(sentence)]


def is_language(text: str, code: str) -> bool:
    """Does langdetect take `text` for the language `code`?  A text without features (digits, signs) is taken for any.

    The official scorer leaves langdetect unseeded, so that its verdict on a doubtful text can change from run to run.
    """
    import langdetect

    langdetect.DetectorFactory.seed = 0
    try:
        return bool(langdetect.detect(text) == code)
    except langdetect.LangDetectException:
        return True
