"""Numbers and statements of an answer as other languages write them, put into the forms that `read_number` reads."""

from __future__ import annotations

import re
import unicodedata

# What introduces an answer, in the words of MGSM's exemplars and of the usual instruction ("Antwort: 18").
STATEMENTS = {
    "bn": r"উত্তর\s*(?:হলো|হল|[:：])?",
    "de": r"\b(?:Antwort|Lösung|Ergebnis)\s*(?:ist\b|lautet\b|beträgt\b|[:：])(?:\s+also\b)?",
    "es": r"\brespuesta(?:\s+(?:final|correcta))?\s*(?:es\b|[:：])",
    "fr": r"\bréponse(?:\s+(?:finale|correcte))?\s*(?:est\b|[:：])",
    "it": r"\brisposta(?:\s+(?:finale|corretta|esatta))?\s*(?:è|[:：])",
    "ja": r"答え\s*(?:は|[:：])",
    "ko": r"(?:정답|답)\s*(?:은|는|[:：])",
    "pt": r"\bresposta(?:\s+(?:final|correta))?\s*(?:é|[:：])",
    "ru": r"\bответ\s*(?:[—–:：-]|равен|составляет|будет)",
    "sw": r"\bjibu(?:\s+la\s+mwisho)?\s*(?:ni|[:：])",
    "te": r"సమాధానం\s*[:：]?",
    "th": r"คำตอบ\s*(?:คือ|[:：])?",
    "zh": r"答案\s*(?:是|为|為|[:：])",
}
ANY_STATEMENT = re.compile("|".join(STATEMENTS.values()), re.IGNORECASE)
COMMA_LANGUAGES = ("de", "es", "fr", "ru")  # 2.125 and 2 125 are thousands there, 12,5 is twelve and a half
POINTS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+(?![\d]|\.\d)")
BLANKS = re.compile(r"(?<![\d.,])(?<!\d[ ])\d{1,3}(?: \d{3})+(?![\d]| \d)")
DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+|\d+),(\d{1,2})(?![\d]|,\d)")


def plain_digits(text: str) -> str:
    """The text with ASCII digits: Bengali, Telugu, Thai, full-width and all others; and with narrow commas and points."""
    digits = (str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)
    return re.sub(r"(?<=\d)[，٬](?=\d)", ",", re.sub(r"(?<=\d)[．٫](?=\d)", ".", "".join(digits)))


def in_english(text: str, language: str) -> str:
    """The text with English numbers, and with "answer is" where its language states an answer."""
    text = plain_digits(text)
    if language in COMMA_LANGUAGES:
        text = DECIMAL_COMMA.sub(lambda match: f"{match[1].replace('.', ',')}.{match[2]}", text)
        text = POINTS.sub(lambda match: match[0].replace(".", ","), text)
        text = BLANKS.sub(lambda match: match[0].replace(" ", ","), text)
    if language in STATEMENTS:
        text = re.sub(STATEMENTS[language], " answer is ", text, flags=re.IGNORECASE)
    return text


def state_in_english(text: str) -> str:
    """The text with "answer is" where any of the languages states an answer."""
    return ANY_STATEMENT.sub(" answer is ", text)
