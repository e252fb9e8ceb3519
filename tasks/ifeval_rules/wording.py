"""Instructions about words, letters, their number and their language."""

from __future__ import annotations

import re

from tasks.ifeval_rules.text_features import WORD, compares, count_sentences, is_language, words


def existence(text: str, keywords: list[str]) -> bool:
    """Every keyword is there, in any case, also inside a longer word."""
    return all(keyword.lower() in text.lower() for keyword in keywords)


def frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    """The keyword is there so many times, in any case, also inside longer words ("warm" has "war")."""
    return compares(len(re.findall(re.escape(keyword.strip()), text, re.IGNORECASE)), relation, frequency)


def forbidden_words(text: str, forbidden_words: list[str]) -> bool:
    """None of the words is there as a word of its own, in any case."""
    return not any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    """The letter is there so many times, in any case.

    Two prompts ask for "#" and "!".  The official scorer replaces what is no Latin letter by a random one; here the sign
    that the prompt asks for is counted.
    """
    return compares(text.lower().count(letter.strip().lower()), let_relation, let_frequency)


def response_language(text: str, language: str) -> bool:
    return is_language(text, language)


def number_sentences(text: str, num_sentences: int, relation: str) -> bool:
    return compares(count_sentences(text), relation, num_sentences)


def number_words(text: str, num_words: int, relation: str) -> bool:
    """A word is a run of letters, digits and underscores: "don't" is two."""
    return compares(len(WORD.findall(text)), relation, num_words)


def capital_word_frequency(text: str, capital_frequency: int, capital_relation: str) -> bool:
    """So many words are all in capitals; "I" and "A" are such words."""
    return compares(sum(word.isupper() for word in words(text)), capital_relation, capital_frequency)


def english_capital(text: str) -> bool:
    return text.isupper() and is_language(text, "en")


def english_lowercase(text: str) -> bool:
    return text.islower() and is_language(text, "en")


def no_comma(text: str) -> bool:
    return "," not in text
