"""A number that a response states in words: "The answer is twenty-five." """

from __future__ import annotations

import re

BELOW_TWENTY = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
VALUES = {word: value for value, word in enumerate(BELOW_TWENTY)} | {
    word: 10 * place for place, word in enumerate(TENS, start=2)
}
WORD = "|".join(sorted([*VALUES, "hundred", "thousand"], key=len, reverse=True))
# "The answer is one of them", "one more than 5": no statement.
STATED_WORDS = re.compile(
    rf"(\banswer\s(?:is|equals):?|\banswer:|####)([\s*_\"'(]{{0,6}})((?:{WORD})(?:(?:\s|-)(?:and\s)?(?:{WORD}))*)\b"
    r"(?!\s(?:of|or|more|less|fewer|that|which|where|with|to|and)\b)",
    re.IGNORECASE,
)


def words_to_digits(text: str) -> str:
    """The text with digits where it states its answer in words."""
    return STATED_WORDS.sub(lambda match: f"{match[1]}{match[2]}{value_of_words(match[3])}", text)


def value_of_words(words: str) -> int:
    """The value of "one thousand two hundred and five"."""
    total = part = 0
    for word in re.findall(r"[a-z]+", words.lower()):
        if word == "thousand":
            total, part = total + max(part, 1) * 1000, 0
        elif word == "hundred":
            part = max(part, 1) * 100
        else:
            part += VALUES.get(word, 0)  # "and" adds nothing
    return total + part
