"""Instructions that count: words, names, numbers, signs, and shares of them."""

from __future__ import annotations

import re

from tasks.ifbench_rules.text_units import (
    CONJUNCTIONS,
    PERSON_NAMES,
    PRONOUNS,
    STOP_WORDS,
    sentences_of,
    trim,
    without_punctuation,
)
from tasks.ifeval_rules.text_features import WORD, words

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
INTERROBANGS = ("?!", "!?", "\u203d")
MARKS = frozenset(".,!?;:")
TIMES = (1, 2, 3, 5, 7)  # how often each of five keywords is to be there
TOLERANCE = 2  # percent of the overlap


def word_count_range(text: str, min_words: int, max_words: int) -> bool:
    return min_words <= len(WORD.findall(text)) <= max_words


def unique_word_count(text: str, number: int) -> bool:
    """At least so many different words, in any case.  As in the official scorer, a dash alone counts as one word."""
    return len({trim(word) for word in text.lower().split()}) >= number


def stop_words(text: str, percentage: int) -> bool:
    """At most this share of the words is on NLTK's list of English stop words."""
    tokens = [word.lower() for word in WORD.findall(text)]
    return bool(tokens) and sum(word in STOP_WORDS for word in tokens) / len(tokens) * 100 <= percentage


def sentence_endings(text: str) -> tuple[int, int, int]:
    """How many sentences end with a full stop, a question mark, an exclamation mark."""
    endings = [sentence[-1:] for sentence in sentences_of(text)]
    return endings.count("."), endings.count("?"), endings.count("!")


def sentence_type(text: str) -> bool:
    """Twice as many sentences end with a full stop as with a question mark.  None of either is twice as many, too."""
    stops, questions, _ = sentence_endings(text)
    return stops == 2 * questions


def sentence_balance(text: str) -> bool:
    """As many sentences end with ".", "?" and "!"; a text without any is in balance."""
    return len(set(sentence_endings(text))) == 1


def sentence_words(text: str) -> bool:
    """Exactly three sentences of the same length in characters.  The official scorer does not check that their words differ."""
    lengths = [len(sentence.strip()) for sentence in sentences_of(text)]
    return len(lengths) == 3 and len(set(lengths)) == 1


def conjunctions(text: str, number: int) -> bool:
    """At least so many different coordinating conjunctions.  As in the official scorer, "and" and "And," are two."""
    return len({word for word in text.split() if trim(word).lower() in CONJUNCTIONS}) >= number


def person_names(text: str, number: int) -> bool:
    """At least so many different names of the list, each as a word of its own and with its capital."""
    return sum(re.search(rf"\b{name}\b", text) is not None for name in PERSON_NAMES.split()) >= number


def overlap(text: str, reference_text: str, percentage: int) -> bool:
    """The share of the response's groups of three characters that the reference has, too, within two percent."""
    share = overlap_percentage(text, reference_text)
    return len(text) > 2 and percentage - TOLERANCE <= share <= percentage + TOLERANCE


def overlap_percentage(text: str, reference_text: str) -> float:
    groups = groups_of_three(text)
    return len(groups & groups_of_three(reference_text)) / len(groups) * 100 if groups else 0.0


def groups_of_three(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(len(text) - 2)}


def numbers(text: str, number: int) -> bool:
    """Exactly so many numbers; without their commas and points, so that 1,000.5 is one."""
    return len(re.findall(r"\d+", without_punctuation(text))) == number


def pronouns(text: str, number: int) -> bool:
    """At least so many pronouns, repeated ones too; she/her are two."""
    return sum(word in PRONOUNS for word in words(text.lower().replace("/", " "))) >= number


def punctuation(text: str) -> bool:
    """Every mark of . , ! ? ; : and an interrobang (?!), whose own two signs do not count for ! and ?."""
    if not any(mark in text for mark in INTERROBANGS):
        return False
    pair = next((mark for mark in INTERROBANGS[:2] if mark in text), "")
    return set(text.replace(pair, "", 1) if pair else text) >= MARKS


def keywords_multiple(text: str, keyword1: str, keyword2: str, keyword3: str, keyword4: str, keyword5: str) -> bool:
    """The keywords once, twice, three, five and seven times, in any case, also inside other words."""
    lower, keywords = text.lower(), (keyword1, keyword2, keyword3, keyword4, keyword5)
    counts = [lower.count(keyword.strip().lower()) for keyword in keywords]
    return counts == list(TIMES)


def words_japanese(text: str, number: int) -> bool:
    """Every nth word holds a Japanese sign; numbers and lone punctuation may stand there, too."""
    every_nth = [trim(word) for word in text.split()[number - 1 :: number]]
    return all(not word or word.isdigit() or JAPANESE.search(word) for word in every_nth)
