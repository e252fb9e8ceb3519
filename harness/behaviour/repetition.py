"""Repetition within an answer, and diversity over several answers to one prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence

WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:['\u2019][^\W_]+)*"
)  # East Asian characters count as words
N = 4  # words of the n-grams by which repetition is measured (Welleck et al. 2020, seq-rep-4)
DISTINCT = (1, 2, 3)  # Li et al. (2016): distinct-n


def split_words(text: str) -> list[str]:
    """The words in lower case."""
    return WORD.findall(text.lower())


def ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def measure_repetition(words: Sequence[str]) -> dict[str, float]:
    """How many of a text's n-grams it has said before, and how many there are: seq-rep-4 is the ratio of the two."""
    grams = ngrams(words, N)
    return {"repeats": len(grams) - len(set(grams)), "ngrams": len(grams)}


def measure_diversity(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Over the words of several answers to one prompt: different n-grams, and all of them, for distinct-n = the ratio."""
    counts: dict[str, float] = {}
    for n in DISTINCT:
        grams = [gram for words in texts for gram in ngrams(words, n)]
        counts |= {f"distinct{n}": len(set(grams)), f"all{n}": len(grams)}
    return counts
