"""Which questions the texts of a training contain."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from harness.types import Json

# The rule of Tulu 3 (arXiv 2411.15124, section 3.2): a question is contaminated if the 8-grams that it shares with one training
# row cover half of its words.  A whole-question match would miss paraphrased ends; single 8-grams would mark common phrases.
# A question of fewer than 8 words has no n-gram: it is contaminated if it is a whole line of a training row.
N = 8
NEAR = 0.8  # the share of a question that a copy with some other words repeats; GSM8K's training rows repeat 0.79 at most
MOST_COMPARED = 20  # such copies that are compared with the other questions
# Names of the column that holds the question, the surest first.  A row without any of them is searched for all of its texts.
QUESTION_COLUMNS = ("question", "prompt", "instruction", "problem", "query", "input", "text")
# Where a line ends, or an option begins: (A) text, A. text, 1) text, - text, * text; within a line only (A), A) and the like.
MARK = r"(?:\(?[A-Za-z0-9]{1,2}[).:]|[-*\u2022\u2013])[ \t]+"
BORDERS = re.compile(rf"(?:\n|\A)[ \t]*(?:{MARK})?|[ \t]\(?[A-Za-z0-9]\)[ \t]+")
Words = tuple[str, ...]


def question_words(row: Json) -> list[Words]:
    """The words of a row's question; of a row without a question column, the words of each of its texts."""
    return [split_words(text) for text in question_texts(row)]


def question_texts(row: Json) -> list[str]:
    """A row's question; of a row without a question column, each of its texts."""
    texts = {name.lower(): value for name, value in row.items() if isinstance(value, str)}
    question = next((texts[name] for name in QUESTION_COLUMNS if name in texts), None)
    return [question] if question is not None else list(texts.values())


def split_pieces(text: str) -> list[Words]:
    """The words of a text's lines and options, without the marks of options: letters, numbers, dashes."""
    return [words for part in BORDERS.split(text) if (words := split_words(part))]


class OptionQuestions:
    """Questions with options, to be found in texts that have these in another order or with other marks.

    A text holds a question if one of its lines is the question's first, behind a label ("Question:") or none, and every other
    line or option of the question is a line or an option of the text.
    """

    def __init__(self, questions: Iterable[str]) -> None:
        self.rest_by_stem: dict[Words, list[tuple[frozenset[Words], Words]]] = defaultdict(list)
        for text in questions:
            stem, *options = split_pieces(text) or [()]
            if len(options) > 1 and len(text.split()) > 2:
                self.rest_by_stem[stem].append((frozenset(options), split_words(text)))

    def find(self, text: str) -> set[Words]:
        """The questions that a text holds, as their words in their own order."""
        after_labels = [line.partition(":")[2] for line in text.splitlines() if ":" in line]
        pieces = {*split_pieces(text), *map(split_words, after_labels)}
        candidates = [entry for piece in pieces & self.rest_by_stem.keys() for entry in self.rest_by_stem[piece]]
        return {words for options, words in candidates if options <= pieces}


def contaminated_questions(questions: set[Words], texts: Iterable[str], share: float) -> set[Words]:
    """The questions of which one text contains at least `share` (or, below N words, the whole as a line)."""
    long = [q for q in questions if len(q) >= N]
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)  # n-gram -> (question, first word)
    for number, question in enumerate(long):
        for place, ngram in enumerate(hash_ngrams(question)):
            places[ngram].append((number, place))
    dirty: set[Words] = set()
    for text in texts:
        # Coverage is counted within one row: words scattered over many rows give nothing away.
        matches: dict[int, set[int]] = defaultdict(set)  # question -> places of its words that the text repeats
        for ngram in hash_ngrams(split_words(text)):
            for number, place in places.get(ngram, ()):
                matches[number].update(range(place, place + N))
        dirty |= {long[n] for n, words in matches.items() if len(words) >= share * len(long[n])}
        dirty |= {line for line in map(split_words, text.splitlines()) if 0 < len(line) < N} & questions
    return dirty


def copied_questions(questions: set[Words], texts: Sequence[str]) -> set[Words]:
    """The questions that a text holds whole, or all but a fifth of their words.

    A question that another one repeats as far is made from a template: only the whole of it counts.
    """
    near = contaminated_questions(questions, texts, NEAR)
    whole = contaminated_questions(near, texts, 1.0) if near else near
    rest = sorted(near - whole)[:MOST_COMPARED] if not whole else []
    others = [" ".join(q) for q in sorted(questions)] if rest else []
    return whole | {q for q in rest if not contaminated_questions({q}, [o for o in others if o != " ".join(q)], NEAR)}


def split_words(text: str) -> Words:
    """Lower-case words without punctuation."""
    return tuple(re.findall(r"\w+", text.lower()))


def hash_ngrams(words: Words) -> list[int]:
    """Hashes of the n-grams, in order; empty for fewer than N words."""
    return [hash(words[i : i + N]) for i in range(len(words) - N + 1)]
