"""Answers in words where a question has few possible ones: "yes" or "no", "valid" or "invalid", an order of given words."""

from __future__ import annotations

import re
from collections.abc import Collection

Span = tuple[int, int]

OPPOSITES = (("yes", "no"), ("true", "false"), ("valid", "invalid"))
GIVEN_LIST = re.compile(r"\bList:\s*(.+)", re.DOTALL)
CONCLUDING = r"(?:so|thus|therefore|hence|in conclusion|consequently|finally|overall)\b"
NOUN = r"(?:conclusion|verdict|result|decision|output|response|solution|judge?ment|answer)"
# What may stand before an answer in its line: "So,", "Final verdict:", "The result is", and BBH's own "A:".
BEFORE = re.compile(
    rf"[^\w\n]*(?:{CONCLUDING}[^\w\n]{{1,4}})?(?:A:|(?:(?:the|my|our)\s+)?(?:final\s+|overall\s+)?{NOUN}\b[*_]*\s*(?::|is\b:?|[-–—=])"
    r"|(?:it|that)\s+is\b|it's\b)?[^\w\n]*",
    re.IGNORECASE,
)
BOLD = re.compile(r"(?:\*\*|__)[\"']?(\w+)[\"']?[.!]?(?:\*\*|__)")
UNSURE = re.compile(r"\b(?:not|never|neither|nor|if|whether|or|but)\b|n't\b|\?", re.IGNORECASE)
CONCLUSION = re.compile(
    rf"[^\w\n]*(?:{CONCLUDING}[^\n]*?\bis|the\s+(?:argument|sentence|statement|expression|conclusion|claim|reasoning)\s+is)"
    r"\s+(?:\w+ly\s+)?[\"'*_]*(\w+)[^\w\n]*",
    re.IGNORECASE,
)
LIST_LABEL = re.compile(
    r"[^\w\n]*(?!\W*(?:the\s+)?(?:original|given|input|unsorted|words?|list)\b[^:\n]*:)[^:\n]{0,80}:", re.IGNORECASE
)
LIST_MARK = re.compile(r"^[ \t]*(?:\d{1,3}[.)]|[-*•])[ \t]+", re.MULTILINE)
AND = re.compile(r"(?:,\s*|\s+)and\s+(?=\S+\s*$)", re.IGNORECASE)
GAP = re.compile(r"(?:[\s,;]|→|->)+")
MARKUP = re.compile(r"\*\*|__|`")
BRACKETS = re.compile(r"[\])}>\s]+")


def words_of_target(text: str) -> list[str]:
    return GAP.split(text.strip().casefold())


def without_and(text: str) -> str:
    """The text without the "and" before its last word."""
    return AND.sub(", ", text)


def possible_words(question: str, target: str) -> tuple[str, ...]:
    """The words of which a question's answer is one, such as "yes" and "no", or is an order; () where they are not known."""
    if pair := next((pair for pair in OPPOSITES if target.casefold() in pair), ()):
        return pair
    word_list = GIVEN_LIST.search(question)
    words = tuple(words_of_target(word_list[1])) if word_list else ()
    return words if sorted(words) == sorted(words_of_target(target)) else ()


def find_answer(line: str, words: Collection[str]) -> Span | None:
    """Where a line that is an answer alone has it: "Yes.", "Conclusion: **yes**", "Sorted: ant, bee"; None for another line."""
    if words in OPPOSITES:
        before = BEFORE.match(line)
        start = before.end() if before else 0
        return (start, len(line)) if line[start:].strip(" \t*_`\"'.!)").casefold() in words else None
    label = LIST_LABEL.match(line)
    starts = (0, label.end() if label else 0)
    return next(((start, len(line)) for start in starts if is_order(line[start:], words)), None)


def final_words(text: str, words: Collection[str]) -> str:
    """What the end of a text concludes without saying that it is the answer: "The argument is **valid**.", a list of lines."""
    if words not in OPPOSITES:
        return last_lines(text, words)
    line = text.rstrip().rpartition("\n")[2]
    bold = [match[1] for match in BOLD.finditer(line) if match[1].casefold() in words]
    conclusion = CONCLUSION.fullmatch(line)
    if UNSURE.search(line):
        return ""
    if conclusion and conclusion[1].casefold() in words:
        return conclusion[1]
    return bold[0] if len(bold) == 1 else ""


def is_order(text: str, words: Collection[str]) -> bool:
    """Does the text consist of the words, in any order?"""
    text = MARKUP.sub("", text).strip(" \t\"'.[]()")
    if not words or len(text) > 4 * sum(map(len, words)) + 40:
        return False
    return any(sorted(words_of_target(spelling)) == sorted(words) for spelling in (text, without_and(text)))


def last_lines(text: str, words: Collection[str]) -> str:
    """The last lines of a text where together they are an order of the words, as one line; "" where they are not."""
    lines = list[str]()
    for line in reversed(text.rstrip()[-10_000:].split("\n")):
        lines.insert(0, LIST_MARK.sub("", MARKUP.sub("", line)).strip())
        if len(words) <= len(lines):
            break
    return ", ".join(lines) if len(words) > 1 and is_order(" ".join(lines), words) else ""


def last_brackets(text: str) -> str:
    """The last line of a text where it consists of closing brackets; "" for another one."""
    line = MARKUP.sub("", text.rstrip().rpartition("\n")[2]).strip(" \t.\"'")
    return line if BRACKETS.fullmatch(line) else ""
