"""Instructions about words and sentences: their letters, lengths, order and places."""

from __future__ import annotations

import re
import string
from collections import Counter
from itertools import pairwise

from harness.types import SkilldeltaError
from tasks.ifbench_rules.text_units import (
    CONSONANTS,
    EDGE_SIGNS,
    plain_words,
    sentences_of,
    syllables,
    trim,
    without_punctuation,
)
from tasks.ifeval_rules.text_features import words

ALPHABET = string.ascii_lowercase
PRIMES = frozenset(n for n in range(2, 100) if all(n % divisor for divisor in range(2, n)))
PALINDROMES, PALINDROME_LENGTH = 10, 5
TAGGER = "averaged_perceptron_tagger_eng"
NO_TAGGER = f"NLTK's part-of-speech tagger is not here: python -m nltk.downloader {TAGGER}"


def alphabet(text: str) -> bool:
    """Each word begins with the letter after that of the word before; z is followed by a."""
    letters = [word[0] for word in plain_words(text)]
    if not letters or letters[0] not in ALPHABET:
        return False
    first = ALPHABET.index(letters[0])
    return all(letter == ALPHABET[(first + place) % len(ALPHABET)] for place, letter in enumerate(letters))


def vowel(text: str) -> bool:
    """One paragraph with at most three of the vowels a, e, i, o, u."""
    paragraph = text.strip()
    return "\n" not in paragraph and len(set(paragraph.lower()) & set("aeiou")) <= 3


def consonants(text: str) -> bool:
    """Every word has two consonants side by side; y is one."""
    return all(any(set(pair) <= CONSONANTS for pair in pairwise(word)) for word in text.lower().split())


def alliteration_increment(text: str) -> bool:
    """Each sentence has more words that share their first letter with a neighbour than the sentence before."""
    counts = [count_alliterations(sentence) for sentence in sentences_of(text)]
    return all(before < after for before, after in pairwise(counts))


def count_alliterations(sentence: str) -> int:
    letters = [word.lstrip(EDGE_SIGNS)[:1] for word in sentence.lower().split()]
    same = [a == b for a, b in pairwise([letter for letter in letters if letter])]
    return sum(same) + sum(here and not before for before, here in pairwise([False, *same]))


def palindrome(text: str) -> bool:
    """Ten words of five letters or more that read the same backwards; the same word counts each time."""
    return sum(len(word) >= PALINDROME_LENGTH and word == word[::-1] for word in plain_words(text)) >= PALINDROMES


def prime_lengths(text: str) -> bool:
    """Every word has a prime number of characters; none has more than 97."""
    return all(len(word) in PRIMES for word in plain_words(text))


def start_verb(text: str) -> bool:
    """NLTK's tagger takes the first word for a verb, in any form.  SkilldeltaError where the tagger is missing."""
    import nltk

    if not has_tagger():
        raise SkilldeltaError(NO_TAGGER)
    tokens = words(text)
    return bool(tokens) and "VB" in nltk.pos_tag(tokens)[0][1]


def has_tagger() -> bool:
    """Whether NLTK finds the data of its English tagger, which come with no package."""
    import nltk

    try:
        nltk.data.find(f"taggers/{TAGGER}/")
    except LookupError:
        return False
    return True


def repeats(text: str, number: int) -> bool:
    """No word is there more often than this."""
    return max(Counter(plain_words(text)).values(), default=0) <= number


def odd_even_syllables(text: str) -> bool:
    """Words with an odd and with an even number of syllables take turns."""
    parities = [syllables(word) % 2 for word in plain_words(text)]
    return all(a != b for a, b in pairwise(parities))


def last_first(text: str) -> bool:
    """Each sentence begins with the last word of the sentence before."""
    for before, after in pairwise(sentences_of(text)):
        last, first = before.rstrip(EDGE_SIGNS).split(), after.lstrip(EDGE_SIGNS).split()
        if not last or not first or last[-1].lower() != first[0].lower():
            return False
    return True


def paragraph_last_first(text: str) -> bool:
    """Each line ends with the word that it began with; a line of punctuation alone may be anything."""
    lines = [trim(line.strip().lower()).split() for line in text.split("\n")]
    return all(line[0] == line[-1] for line in lines if line)


def increment(text: str, number: int) -> bool:
    """Each sentence has exactly so many words more than the sentence before; a single sentence follows."""
    counts = [len(without_punctuation(sentence).split()) for sentence in sentences_of(text)]
    return all(after == before + number for before, after in pairwise(counts))


def no_consecutive(text: str) -> bool:
    """No two words side by side begin with the same letter."""
    return all(a[0] != b[0] for a, b in pairwise(plain_words(text)))


def keyword(text: str, word: str, number: int) -> bool:
    """The nth sentence has the word as a word of its own, in any case."""
    sentences = sentences_of(text)
    pattern = rf"\b{re.escape(word)}\b"
    return len(sentences) >= number and re.search(pattern, sentences[number - 1], re.IGNORECASE) is not None


def keywords_specific_position(text: str, keyword: str, sentence_number: int, word_number: int) -> bool:
    """The nth sentence has the keyword as its mth word; punctuation marks are no words."""
    sentences = sentences_of(text)
    if len(sentences) < sentence_number:
        return False
    tokens = [token for token in words(sentences[sentence_number - 1]) if any(sign.isalnum() for sign in token)]
    return len(tokens) >= word_number and tokens[word_number - 1].lower() == keyword.strip().lower()


def words_position(text: str, keyword: str) -> bool:
    """The second word and the last but one are the keyword; one punctuation mark may follow the last word."""
    tokens = words(text)
    if tokens and tokens[-1] in string.punctuation:
        tokens = tokens[:-1]
    wanted = keyword.strip().lower()
    return len(tokens) >= 2 and tokens[1].lower() == tokens[-2].lower() == wanted
