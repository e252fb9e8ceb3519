"""The number that a response states as its answer: after "####" or "answer is", boxed, in an answer field, or in bold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.answer_reading import numbers
from tasks.answer_reading.numbers import Number
from tasks.answer_reading.run_on import cut_at_question, cut_at_turn, drop_remarks

# What may stand between a mark and its number: signs of layout and of mathematics, and words that add nothing.
FILLER = re.compile(
    r"""(?:[\s*_`:="'({\[>~≈|]|\\[(\[]|\$(?!\d)|\\boxed|<<|[A-Za-z]\s*=(?!=)
    |\b(?:is|are|that|therefore|thus|then|hence|so|indeed|now|approximately|about|around|roughly|exactly|just|only|simply
       |equal\sto|equals|a\stotal\sof|total\sof|the\snumber|the\sinteger|USD|US|EUR|Rs\.?)(?![A-Za-z]))*""",
    re.VERBOSE | re.IGNORECASE,
)
HASHES = re.compile(r"####")
BOX = re.compile(r"\\f?boxed\s*\{")
FIELD = re.compile(
    r"""(?:["'](?:final[_ ]?)?answer["']\s*:\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^",}\n]+))
    |<(?:final_?)?answer>(?P<tagged>.*?)(?:</|$))""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
WORDS = re.compile(
    r"""(?<!to\s)(?<!we\s)(?<!can\s)(?<!will\s)\b(?:answer|final\s(?:result|solution))\b
    (?:[^.:=?!;\n]{0,60}?\b(?:is|was|(?:should|would|must|will)(?:\stherefore|\sthen)?\sbe|equals
        |comes\s(?:out\s)?to|(?:works|turns)\sout\sto(?:\sbe)?)\b|[^.:=?!;\n\w]{0,6}[:=]|[*_#:\s]*\n)""",
    re.VERBOSE | re.IGNORECASE,
)
# "If it were in cents, the answer would be 300", "(in which case the answer is 3)": no answer to what was asked.
HYPOTHESIS = re.compile(r"\b(?:if|which case|whether)\b[^.!?\n]*$", re.IGNORECASE)
# "Answer:" at the beginning of a line, and after it one sentence with which the response ends.
ANSWER_LABEL = re.compile(
    r"^[\s>#*_]*(?:final[ ])?answer[*_]*\s*:[\s*_]*(?P<sentence>(?:[^.!?\n]|[.!?](?!\s))+)[.!?]?[\s*_]*$",
    re.MULTILINE | re.IGNORECASE,
)
INTRODUCTION = re.compile(
    r"[\s\"'`*]*(?:after|at|by|during|for|from|if|in|on|over|since|when|with|within)\b[^,.\n]*,(?!\d)", re.IGNORECASE
)
BOLD = re.compile(r"\*\*\s*([^*\n]+?)\s*\*\*|__\s*([^_\n]+?)\s*__|<b>\s*([^<\n]+?)\s*</b>")
BOLD_LINE = re.compile(r"^[\s>#-]*(?:\*\*|__)(?P<content>[^*_\n]+)(?:\*\*|__)[\s.!]*$", re.MULTILINE)
LABEL = re.compile(r"\b(?:step|day|part|option|case|week|month|year|method|number|question|problem)\s+\d+\W*$", re.IGNORECASE)
LINE_A = re.compile(r"^\s*A:", re.MULTILINE)  # as in grade-school-math's own solutions
OPERATORS = re.compile(r"[\s\d.,$€£¥₹%()*/+\-x÷]*")
MAX_UNIT_WORDS = 4


@dataclass(frozen=True)
class ReadNumber:
    """The answer that was read, "" for none; and whether the response states it, or it is the last number only."""

    number: Number | None
    is_stated: bool


def read_number(response: str) -> ReadNumber:
    """The stated number of a response; where it states none, its last one.

    What follows a next question or another's turn is left out.  Of several statements the last counts, but of several
    "####" the first: it ends the answer, and a model that goes on writes more of them.
    """
    text = numbers.normalize(cut_at_turn(response))
    text = cut_at_question(text, has_number)
    if statement := stated_number(text):
        return ReadNumber(statement, True)
    text = drop_remarks(text, has_number)
    if in_bold := bold_in_last_line(text):
        return ReadNumber(in_bold, True)
    every_number = numbers.find_numbers(text)
    return ReadNumber(every_number[-1] if every_number else None, False)


def has_number(text: str) -> bool:
    return bool(numbers.find_numbers(text))


def stated_number(text: str) -> Number | None:
    """The stated number of a normalized text; None where it states none."""
    for match in HASHES.finditer(text):
        if number := number_after(text, match.end()):
            return number
    statements = [n for marks in (BOX, WORDS, LINE_A) for n in numbers_after(text, marks)]
    statements += [*field_numbers(text), *bold_lines(text)]
    return max(statements, key=lambda number: number.start, default=None)


def numbers_after(text: str, marks: re.Pattern[str]) -> Iterator[Number]:
    for match in marks.finditer(text):
        number = number_after(text, match.end())
        if number and not (marks is WORDS and HYPOTHESIS.search(text, max(0, match.start() - 80), match.start())):
            yield number


def field_numbers(text: str) -> Iterator[Number]:
    """The numbers of answer fields, and of a last sentence behind "Answer:"."""
    spans = [match.span(name) for match in FIELD.finditer(text) for name in ("quoted", "bare", "tagged") if match[name] is not None]
    spans += [match.span("sentence") for match in ANSWER_LABEL.finditer(text) if not numbers.find_numbers(text, match.end())]
    for start, end in spans:
        if number := number_in_sentence(text[:end], start):
            yield number


def number_in_sentence(text: str, start: int) -> Number | None:
    """The number that a short answer is about: "After 2 weeks, he pays $64 for 16 glasses" is about 64.

    Of an equation the last side; otherwise the first number behind an introduction ("After 2 weeks,").  None where there is
    none, and for arithmetic that nobody worked out ("3 * 25").
    """
    candidates = numbers.find_numbers(text, start)
    if "=" in text[start:]:
        return candidates[-1] if candidates else None
    if introduction := INTRODUCTION.match(text, start):
        candidates = [number for number in candidates if number.start >= introduction.end()] or candidates
    if len(candidates) > 1 and OPERATORS.fullmatch(text[candidates[0].end : candidates[1].start]):
        return None
    return candidates[0] if candidates else None


def number_after(text: str, start: int) -> Number | None:
    """The number directly after a mark; of an equation ("5 + 3 = 8") the last side.  None where words stand between."""
    begin = FILLER.match(text, start)
    begin_at = begin.end() if begin else start
    candidates = numbers.find_numbers(text[: end_of_line(text, begin_at)], begin_at)
    if not candidates or candidates[0].start - begin_at > len("-$ "):
        return None
    return last_side(text, candidates)


def last_side(text: str, candidates: list[Number]) -> Number:
    """The first of the numbers, or the number after the last "=" that follows it in one chain of arithmetic."""
    result = candidates[0]
    for before, after in zip(candidates, candidates[1:], strict=False):
        between = text[before.end : after.start]
        if "=" in between and OPERATORS.fullmatch(between.replace("=", "")):
            result = after
        elif not OPERATORS.fullmatch(between):
            break
    return result


def end_of_line(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def bold_lines(text: str) -> Iterator[Number]:
    """Numbers that fill a line of their own in bold, with at most a unit: "**18 dollars**"."""
    for match in BOLD_LINE.finditer(text):
        number = number_after(text, match.start("content"))
        if number and number.end <= match.end("content"):
            rest = text[number.end : match.end("content")].split()
            if len(rest) <= MAX_UNIT_WORDS and not any(":" in word for word in rest):
                yield number


def bold_in_last_line(text: str) -> Number | None:
    """The number in bold in the last line that holds any number: "She pays **$64** for 16 glasses"."""
    candidates = numbers.find_numbers(text)
    if not candidates:
        return None
    line_start = text.rfind("\n", 0, candidates[-1].start) + 1
    line_end = end_of_line(text, candidates[-1].start)
    for match in reversed(list(BOLD.finditer(text, line_start, line_end))):
        inside = [number for number in candidates if match.start() <= number.start and number.end <= match.end()]
        if len(inside) == 1 and not LABEL.search(text[match.start() : inside[0].end]):
            return inside[0]
        if len(inside) > 1 and (chain := last_side(text, inside)) is inside[-1]:
            return chain
    return None
