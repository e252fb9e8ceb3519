"""Words, sentences and signs as IFBench's scorer sees them, and its fixed lists of words."""

from __future__ import annotations

import string
from functools import cache

from tasks.ifeval_rules.text_features import sentence_splitter

EDGE_SIGNS = string.punctuation + " "  # what is stripped from the ends of a word
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
CONSONANTS = frozenset("bcdfghjklmnpqrstvwxyz")
CONJUNCTIONS = frozenset(("and", "but", "for", "nor", "or", "so", "yet"))
PERSONAL_PRONOUNS = """
i me we us you he him she her it they them my mine our ours your yours his hers its their theirs
myself ourselves yourself yourselves himself herself itself themselves
"""
POINTING_PRONOUNS = "this that these those who whom whose which what whoever whomever whatever whichever"
INDEFINITE_PRONOUNS = """
anybody anyone anything everybody everyone everything nobody nothing somebody someone something
each either neither both all some any none
"""
PRONOUNS = frozenset(f"{PERSONAL_PRONOUNS} {POINTING_PRONOUNS} {INDEFINITE_PRONOUNS}".split())
# NLTK's English stop words, by kind.  Those with an apostrophe are left out: a word is a run of letters, digits and _.
STOP_PRONOUNS = """
i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it its itself
they them their theirs themselves what which who whom this that these those
"""
STOP_VERBS = "am is are was were be been being have has had having do does did doing can will just should"
STOP_PARTICLES = """
a an the and but if or because as until while of at by for with about against between into through during before after above
below to from up down in out on off over under again further then once here there when where why how
all any both each few more most other some such no nor not only own same so than too very now
"""
STOP_REMAINDERS = """
s t d ll m o re ve y don ain aren couldn didn doesn hadn hasn haven isn ma mightn mustn needn shan shouldn wasn weren won wouldn
"""  # of contractions: "don't" is "don" and "t"
STOP_WORDS = frozenset(f"{STOP_PRONOUNS} {STOP_VERBS} {STOP_PARTICLES} {STOP_REMAINDERS}".split())
# The instruction lists them.
PERSON_NAMES = """
Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin Harper Leo Zoe
Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan Victoria Elijah Layla Nicholas Audrey
David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph Claire Ryan Stella Jonathan
"""


def sentences_of(text: str) -> list[str]:
    """The sentences by Punkt's English model."""
    return [str(sentence) for sentence in sentence_splitter().tokenize(text)]


def without_punctuation(text: str) -> str:
    return text.translate(NO_PUNCTUATION)


def plain_words(text: str) -> list[str]:
    """Words between blanks, in lower case, without any punctuation; what is punctuation alone is none."""
    return without_punctuation(text.lower()).split()


def trim(word: str) -> str:
    """The word without punctuation and blanks at its ends; it may be empty then."""
    return word.strip(EDGE_SIGNS)


def syllables(word: str) -> int:
    """By syllapy's dictionary, else by its count of vowels; 0 for a word with digits."""
    import syllapy

    return int(syllapy.count(word))


@cache
def is_emoji(sign: str) -> bool:
    import emoji

    return bool(emoji.is_emoji(sign))
