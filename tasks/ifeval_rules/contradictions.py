"""Where a row's arguments contradict its prompt: no response can please both, and the rules follow the arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
TENS = {30: "thirty", 40: "forty", 50: "fifty", 60: "sixty", 70: "seventy", 80: "eighty", 90: "ninety"}
ORDINALS = {1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth"}
MAX_IN_WORDS = 2  # numbers up to it are said in many ways: "once", "a", "both", "separated by"
UPWARDS = re.compile(r"at least|more than|minimum|or more|no less|not less|no fewer")
DOWNWARDS = re.compile(
    r"less than|fewer than|at most|no more than|not more than|up to|under |or less|or fewer|not exceed|maximum"
)
BEFORE, AFTER = 40, 25  # characters around a number that say how it is meant


def find_contradictions(prompt: str, instructions: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What the arguments say and the prompt does not: "number_words: 336 is not in the prompt"."""
    return [text for name, kwargs in instructions for text in contradictions_of(prompt.lower(), name.split(":")[-1], kwargs)]


def contradictions_of(prompt: str, name: str, kwargs: Mapping[str, Any]) -> Iterator[str]:
    relation = next((value for key, value in kwargs.items() if key.endswith("relation")), "")
    for key, value in kwargs.items():
        if value is None:  # the Hub's rows name every argument that exists
            continue
        if isinstance(value, int):
            # "more than 4" is "at least 5", "at most 4" is "less than 5".
            bounds = (value, value - 1) if relation else (value,)
            if value > MAX_IN_WORDS and not any(re.search(number_pattern(bound), plain_numbers(prompt)) for bound in bounds):
                yield f"{name}: {value} is not in the prompt"
            elif relation and is_reversed(prompt, value, relation, str(kwargs.get("letter") or kwargs.get("keyword") or "")):
                yield f'{name}: "{relation} {value}" is the opposite of the prompt'
        elif key not in ("language", "relation", "let_relation", "capital_relation"):
            for text in value if isinstance(value, list) else [value]:
                if letters_of(text) not in letters_of(prompt):
                    yield f"{name}: {text!r} is not in the prompt"


def plain_numbers(prompt: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3})", "", prompt)


def letters_of(text: str) -> str:
    """The text's letters and digits with single spaces: quotes and markup around a keyword do not matter."""
    return " ".join(re.sub(r"\W+", " ", text.lower()).split())


def number_pattern(number: int) -> str:
    """A regular expression for a number in digits or words, also as an ordinal."""
    word = NUMBER_WORDS[number] if number < len(NUMBER_WORDS) else TENS.get(number, "hundred" if number == 100 else "")
    words = "|".join(filter(None, (word, word and f"{word}th", ORDINALS.get(number), {2: "twice", 1: "once"}.get(number))))
    return rf"(?<![\d.]){number}(?!\d)" + (rf"|\b(?:{words})\b" if words else "")


def is_reversed(prompt: str, number: int, relation: str, subject: str) -> bool:
    """Does the prompt say "at least" of this number where the arguments say "less than", or the other way round?

    Of several places with the number those count whose sentence has the `subject`, a letter or a keyword.
    """
    text = plain_numbers(prompt)
    places = [match.span() for match in re.finditer(number_pattern(number), text)]
    about = [
        span for span in places if subject and re.search(rf"\b{re.escape(subject.lower())}\b", sentence_around(text, span))
    ]
    directions = [direction(text[max(0, start - BEFORE) : end + AFTER]) for start, end in about or places]
    wrong = "up" if relation == "less than" else "down"
    return bool(directions) and all(each == wrong for each in directions)


def sentence_around(text: str, span: tuple[int, int]) -> str:
    begin = max(text.rfind(sign, 0, span[0]) for sign in ".!?\n")
    ends = [place for sign in ".!?\n" if (place := text.find(sign, span[1])) >= 0]
    return text[begin + 1 : min(ends, default=len(text))]


def direction(near: str) -> str:
    """ "up" for "at least", "down" for "at most", "" where neither is said, or both."""
    up, down = UPWARDS.search(near), DOWNWARDS.search(near)
    return "" if bool(up) == bool(down) else "up" if up else "down"
