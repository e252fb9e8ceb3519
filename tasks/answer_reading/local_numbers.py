"""Numbers and statements of an answer as other languages write them, put into the forms that `read_number` reads."""

from __future__ import annotations

import re
import unicodedata

# The words between a statement and the letter of an option: "la respuesta es la **B**", "ответ: вариант B".
BEFORE_LETTER = (
    r"(?:\s+(?:(?:la|die|a)\s+)?(?:(?:opción|letra|alternativa|opção|lettre|proposition|lettera|opzione|Antwort|Buchstabe"
    r"|вариант|буква)\s+)?(?=[(*_]*(?-i:[A-Z])(?![\w'])))?"
)
# What introduces an answer, in the words of MGSM's exemplars and of the usual instruction ("Antwort: 18").
STATEMENTS = {
    "bn": r"উত্তর\s*(?:হলো|হল|[:：])?",
    "de": rf"\b(?:Antwort|Lösung|Ergebnis)\s*(?:ist\b|lautet\b|beträgt\b|[:：])(?:\s+also\b)?{BEFORE_LETTER}",
    "es": rf"\brespuesta(?:\s+(?:final|correcta))?\s*(?:es\b|[:：]){BEFORE_LETTER}",
    "fr": rf"\bréponse(?:\s+(?:finale|correcte))?\s*(?:est\b|[:：]){BEFORE_LETTER}",
    "it": rf"\brisposta(?:\s+(?:finale|corretta|esatta))?\s*(?:è|[:：]){BEFORE_LETTER}",
    "ja": r"答え\s*(?:は|[:：])",
    "ko": r"(?:정답|답)\s*(?:은|는|[:：])",
    "pt": rf"\bresposta(?:\s+(?:final|correta))?\s*(?:é|[:：]){BEFORE_LETTER}",
    "ru": rf"\bответ\s*(?:[—–:：-]|равен|составляет|будет){BEFORE_LETTER}",
    "sw": r"\bjibu(?:\s+la\s+mwisho)?\s*(?:ni|[:：])",
    "te": r"సమాధానం\s*[:：]?",
    "th": r"คำตอบ\s*(?:คือ|[:：])?",
    "zh": r"答案\s*(?:是|为|為|[:：])(?:\s*[选選][项項])?",
}
ANY_STATEMENT = re.compile("|".join(STATEMENTS.values()), re.IGNORECASE)
COMMA_LANGUAGES = ("de", "es", "fr", "ru")  # 2.125 and 2 125 are thousands there, 12,5 is twelve and a half
# A statement in one of them, with the number directly behind it.
COMMA_STATEMENT = re.compile(
    rf"(?P<mark>{'|'.join(STATEMENTS[language] for language in (*COMMA_LANGUAGES, 'it', 'pt'))})"
    r"(?P<number>[\s*_:$€]{0,8}\d[\d., \u00a0\u202f]{0,20})",
    re.IGNORECASE,
)
POINTS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+(?![\d]|\.\d)")
BLANKS = re.compile(r"(?<![\d.,])(?<!\d[ ])\d{1,3}(?: \d{3})+(?![\d]| \d)")
SPACED_DECIMAL = re.compile(r"(?<![\d.,])(?<!\d[ ])(\d{1,3}(?: \d{3})+),(\d{1,2})(?![\d]|,\d)")
DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+|\d+),(\d{1,2})(?![\d]|,\d)")


def plain_digits(text: str) -> str:
    """The text with ASCII digits: Bengali, Telugu, Thai, full-width and all others; and with narrow commas and points."""
    digits = (str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)
    return re.sub(r"(?<=\d)[，٬](?=\d)", ",", re.sub(r"(?<=\d)[．٫](?=\d)", ".", "".join(digits)))


def in_english(text: str, language: str) -> str:
    """The text with English numbers, and with "answer is" where its language states an answer."""
    text = plain_digits(text)
    if language in COMMA_LANGUAGES:
        text = comma_numbers_in_english(text)
    if language in STATEMENTS:
        text = re.sub(STATEMENTS[language], " answer is ", text, flags=re.IGNORECASE)
    return text


def comma_numbers_in_english(text: str) -> str:
    """The text with 2.125, 2 125 and 12,5 as 2,125 and 12.5."""
    text = re.sub(r"(?<=\d)[\u00a0\u202f](?=\d{3})", " ", text)
    text = SPACED_DECIMAL.sub(lambda match: f"{match[1].replace(' ', ',')}.{match[2]}", text)
    text = DECIMAL_COMMA.sub(lambda match: f"{match[1].replace('.', ',')}.{match[2]}", text)
    text = POINTS.sub(lambda match: match[0].replace(".", ","), text)
    return BLANKS.sub(lambda match: match[0].replace(" ", ","), text)


def state_comma_numbers_in_english(text: str) -> str:
    """The text with English numbers where a language that writes 2.125 and 12,5 states its answer: "Antwort: 2.125 €"."""
    return COMMA_STATEMENT.sub(lambda match: match["mark"] + comma_numbers_in_english(match["number"]), text)


def state_in_english(text: str) -> str:
    """The text with "answer is" where any of the languages states an answer."""
    return ANY_STATEMENT.sub(" answer is ", text)
