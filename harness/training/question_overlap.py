"""Which questions the texts of a training contain."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from harness.types import Json

# The rule of Tulu 3 (arXiv 2411.15124, section 3.2): a question is contaminated if the 8-grams that it shares with one training
# row cover half of its words.  A whole-question match would miss paraphrased ends; single 8-grams would mark common phrases.
# A question of fewer than 8 words has no n-gram: it is contaminated if it is a whole line of a training row.
N = 8
# Names of the column that holds the question, the surest first.  A row without any of them is searched for all of its texts.
QUESTION_COLUMNS = ("question", "prompt", "instruction", "problem", "query", "input", "text")
OPTION = re.compile(r"(?m)^[ \t]*\(?[A-Z][).:][ \t]+(.+)$")  # (A) text, A. text, A) text, A: text
Words = tuple[str, ...]


def question_words(row: Json) -> list[Words]:
    """The words of a row's question; of a row without a question column, the words of each of its texts."""
    return [split_words(text) for text in question_texts(row)]


def question_texts(row: Json) -> list[str]:
    """A row's question; of a row without a question column, each of its texts."""
    texts = {name.lower(): value for name, value in row.items() if isinstance(value, str)}
    question = next((texts[name] for name in QUESTION_COLUMNS if name in texts), None)
    return [question] if question is not None else list(texts.values())


def words_in_option_order(text: str) -> Words:
    """The words of a question, with lettered lines sorted and without their letters: shuffled options are the same question."""
    options = sorted(split_words(option) for option in OPTION.findall(text))
    return split_words(OPTION.sub("", text)) + sum(options, ())


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


def split_words(text: str) -> Words:
    """Lower-case words without punctuation."""
    return tuple(re.findall(r"\w+", text.lower()))


def hash_ngrams(words: Words) -> list[int]:
    """Hashes of the n-grams, in order; empty for fewer than N words."""
    return [hash(words[i : i + N]) for i in range(len(words) - N + 1)]
