"""Instructions about the layout of a response, its beginning and its end."""

from __future__ import annotations

import json
import re

ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
FENCE_OPENS = ("```json", "```Json", "```JSON", "```")
PUNCTUATION = re.compile(r"[.,?!'\"]")


def number_paragraphs(text: str, num_paragraphs: int) -> bool:
    """Exactly so many paragraphs, divided by ***; the first and the last may be empty, and do not count then."""
    paragraphs = re.split(r"\s?\*\*\*\s?", text)
    if any(not paragraph.strip() for paragraph in paragraphs[1:-1]):
        return False
    return sum(bool(paragraph.strip()) for paragraph in paragraphs) == num_paragraphs


def nth_paragraph_first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Exactly so many paragraphs, divided by an empty line, and the nth begins with the word, in any case.

    As in the official scorer, n counts all pieces between empty lines, also empty pieces.
    """
    paragraphs = text.split("\n\n")
    count = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if not 0 < nth_paragraph <= count == num_paragraphs or not paragraphs[nth_paragraph - 1].strip():
        return False
    begin = paragraphs[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    return PUNCTUATION.split(begin.lower())[0] == first_word.lower()


def number_placeholders(text: str, num_placeholders: int) -> bool:
    """At least so many [placeholders], each within one line: every closing bracket with an opening one since the last."""
    before_brackets = [piece for line in text.split("\n") for piece in line.split("]")[:-1]]
    return sum("[" in piece for piece in before_brackets) >= num_placeholders


def postscript(text: str, postscript_marker: str) -> bool:
    """The marker stands somewhere, in any case; its dots may be followed by a space."""
    marker = postscript_marker.strip()
    patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return re.search(patterns.get(marker, re.escape(marker.lower())), text.lower()) is not None


def number_bullet_lists(text: str, num_bullets: int) -> bool:
    """Exactly so many lines that begin with "*" or "-"; a line in bold (**) is none, a line --- is one."""
    stars = re.findall(r"^\s*\*[^*].*$", text, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def constrained_response(text: str) -> bool:
    """One of the three allowed answers is there; more around it does no harm."""
    return any(answer in text for answer in ANSWERS)


def number_highlighted_sections(text: str, num_highlights: int) -> bool:
    """At least so many *highlights* that are not blank, each within one line; **bold** ones, too, count once."""
    single = re.findall(r"\*[^\n*]*\*", text)
    double = re.findall(r"\*\*[^\n*]*\*\*", text)
    return sum(bool(section.strip("*").strip()) for section in single + double) >= num_highlights


def multiple_sections(text: str, section_spliter: str, num_sections: int) -> bool:
    """At least so many headings like "Section 1", case included.  (The data set spells the argument so.)"""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", text)) >= num_sections


def json_format(text: str) -> bool:
    """The whole response is JSON, in a code fence or not."""
    body = text.strip()
    for fence in FENCE_OPENS:
        body = body.removeprefix(fence)
    try:
        json.loads(body.removesuffix("```").strip())
    except (ValueError, RecursionError):  # the latter: ten thousand opening brackets
        return False
    return True


def title(text: str) -> bool:
    """A title that is not blank <<stands like this>> in one line.

    The official expression is <<[^\\n]+>>: in each line at most one match, from the first << to the last >>.  Its search takes
    time that grows with the square of a line of many <<.
    """
    return any(
        start >= 0 and end >= start + 3 and line[start : end + 2].lstrip("<").rstrip(">").strip() != ""
        for line in text.split("\n")
        for start, end in [(line.find("<<"), line.rfind(">>"))]
    )


def two_responses(text: str) -> bool:
    """Two different responses, divided by ******; the text before the first and after the last divider may be empty."""
    pieces = [piece.strip() for piece in text.split("******")]
    if not all(pieces[1:-1]):
        return False
    responses = [piece for piece in pieces if piece]
    return len(responses) == 2 and responses[0] != responses[1]


def repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    """The response begins with the prompt, in any case."""
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_checker(text: str, end_phrase: str) -> bool:
    """The response ends with the phrase, in any case; a closing quotation mark may follow."""
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(text: str) -> bool:
    """The response stands between double quotation marks, the straight ones."""
    body = text.strip()
    return len(body) > 1 and body[0] == body[-1] == '"'
