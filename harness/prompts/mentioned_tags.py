"""Is a tag a word of its text?  It may stand in quotes, in a document of markup, or in a form that the text shows."""

from __future__ import annotations

import re

BETWEEN_FENCES = re.compile(r"(?:^|\n)[ \t]{0,3}```[ \t]?<[^<>\n]{1,40}>```[a-zA-Z]")  # the end of one, and the next: no quotes
QUOTES = "'\"`‘’‚“”„«»"
WINDOW = 200  # characters around a tag that rules look at
ESCAPES = re.compile(r"(?:\\[nrt])+$")  # between a quote and a tag, as in "\n</think>"
ELEMENT_BEFORE = re.compile(r"(?:<[?!/]?[A-Za-z][^<>]{0,80}>|-->)\s*$")
ELEMENT = re.compile(r"\s*<[A-Za-z][\w:.-]*(?:\s[^<>\n]{0,80})?/?>")
PLACEHOLDER = re.compile(r"\s*(?:\[[^\[\]]*\]|\{[^{}]*\}|[.…_]+)\s*")  # "[your reasoning]", "{reasoning}", "..."
IN_SENTENCE = re.compile(r"[ \t]+(?:tags?|blocks?|elements?|sections?|pairs?|markers?|tokens?)\b")
ANNOUNCES = (":", "：", ",")


def is_quoted(text: str, start: int, end: int) -> bool:
    """Does text[start:end] stand directly between quotes or backticks, the first of which opens?"""
    before, after = ESCAPES.sub("", text[max(start - 20, 0) : start])[-2:], text[end : end + 1]
    if (
        not before
        or before[-1] not in QUOTES
        or not after
        or after not in QUOTES + "\\"
        or BETWEEN_FENCES.search(text, max(start - 8, 0), end + 4)
    ):
        return False
    return len(before) == 1 or not (before[0].isalnum() or before[0] in ".!?,")


def is_word(text: str, end: int) -> bool:
    """Does a sentence go on behind the tag that ends here, as in "the <think> tag"?"""
    after = text[end : end + WINDOW]
    return after[:1] in (" ", "\t") and after.lstrip(" \t")[:1].islower()


def is_indented(text: str, start: int) -> bool:
    """Do only blanks stand before the tag in its line, at least one?  Reasoning begins at the margin."""
    before = text[max(start - WINDOW, 0) : start]
    return before[-1:] in (" ", "\t") and not before.rpartition("\n")[2].strip()


def is_form(text: str, end: int, closing: tuple[int, int]) -> bool:
    """Is the block, whose opening tag ends at `end` and whose closing one is `closing`, one to be filled in or talked of?"""
    content = text[end : min(closing[0], end + WINDOW)]
    return bool(PLACEHOLDER.fullmatch(content)) or ("\n" not in content and bool(IN_SENTENCE.match(text, closing[1])))


def is_markup(text: str, start: int, end: int, closing: tuple[int, int]) -> bool:
    """Is the block part of a document: behind or around other elements, or announced and the last of the text?"""
    before = text[max(start - WINDOW, 0) : start].rstrip()
    if ELEMENT_BEFORE.search(before) or ELEMENT.match(text, end, closing[0]):
        return True
    return before.endswith(ANNOUNCES) and not text[closing[1] :].strip()
