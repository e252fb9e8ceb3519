"""The number that a response states as its answer: after "####" or "answer is", boxed, in an answer field, or in bold."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tasks.answer_reading.local_numbers import state_comma_numbers_in_english, state_in_english
from tasks.answer_reading.number_words import words_to_digits
from tasks.answer_reading.numbers import Number, find_numbers, normalize
from tasks.answer_reading.run_on import cut_at_question, cut_at_turn, drop_remarks

# What may stand between a mark and its number: signs of layout and of mathematics, and words that add nothing.
FILLER = re.compile(
    r"""(?:[\s*_`:="'({\[>~≈|]|\\[(\[]|\$(?!\d)|\\boxed|<<|[A-Za-z]\s?=(?!=)
    |\b(?:is|are|that|therefore|thus|then|hence|so|indeed|now|actually|really|still|instead|in\sfact|clearly|approximately|about|around|roughly|exactly|just|only|simply
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
    r"""^[^\w\n]{0,12}(?:final\s)?ans(?:wer)?[*_]*[ \t]*(?:[-=]>|[→–—]|-(?=\s))
    |^[^\w\n]{0,12}ans\b[.*_]*[ \t]*[:=]?
    |(?<!to\s)(?<!we\s)(?<!can\s)(?<!will\s)\b(?:answer|final\s(?:result|solution))\b
    (?:[^.:=?!;\n]{0,60}?\b(?:is|was|(?:should|would|must|will)(?:\stherefore|\sthen)?\sbe|equals
        |comes\s(?:out\s)?to|(?:works|turns)\sout\sto(?:\sbe)?)\b|[^.:=?!;\n\w]{0,6}[:=]|[*_#:\ \t]*\n)""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
# "If it were in cents, the answer would be 300", "(in which case the answer is 3)": no answer to what was asked.
HYPOTHESIS = re.compile(r"\b(?:if|which case|whether)\b[^.!?\n]*$", re.IGNORECASE)
LINE_A = re.compile(r"^[ \t]*A:", re.MULTILINE)  # as in grade-school-math's own solutions
# "Answer:" at the beginning of a line or alone in it, and after it one sentence with which the numbers of the response end.
ANSWER_LABEL = re.compile(
    r"^[^\w\n]{0,12}(?:final[ ])?(?:answer|result)[*_]*[ \t]*(?::|\n|[-=]>|[→–—])[\s*_]*"
    r"(?P<sentence>(?:[^.!?\n]|[.!?](?!\s))+)[.!?]?[ \t*_]*$",
    re.MULTILINE | re.IGNORECASE,
)
INTRODUCTION = re.compile(
    r"[\s\"'`*]*(?:after|at|by|during|for|from|if|in|on|over|since|when|with|within)\b[^,.\n]*,(?!\d)", re.IGNORECASE
)
CONCLUSION = re.compile(r"\b(?:so|thus|therefore|hence|total|altogether|which)\b", re.IGNORECASE)
# "The answer is 20. Wait, no: 18.": a sentence that begins so and is a number alone, with a unit of one word at most.
CORRECTION = re.compile(
    r"(?:(?<=[.!?\n])|[–—])[ \t]*(?:(?:wait|no|oops|sorry|hmm|correction|scratch\sthat|my\smistake|i\smeant?|rather|actually"
    r"|let\sme\scorrect\s(?:that|myself)|make\s(?:that|it)|it'?s|it\sis|that'?s|that\sis"
    r"|(?:it|that)\sshould\sbe)\b[\s,.:;!–—-]*){1,6}",
    re.IGNORECASE,
)
CORRECTS = re.compile(r"wait|no\b|oops|sorry|correction|scratch|mistake|mean|correct|should|actually", re.IGNORECASE)
AFTER_CORRECTION = re.compile(r"(?!\s*(?:is|was|are)\b)(?:[ \t]?[A-Za-z%€£]+)?[*_)]{0,2}[ \t]*(?:[.!](?!\d)|\n|\Z)")
# A line that is a number alone.  As the first one it is the answer where words or brackets go on, and no working ("- 3").
BARE_LINE = re.compile(r"[ \t*_`$\\({=≈£€]*")
BARE_END = re.compile(r"[ \t*_`$\\)}%.!€]*(?=\n|\Z)")
GOES_ON = re.compile(
    r"\n[ \t]*(?:\n\s*[\[(*_#>\"'-]{0,4}(?![a-z])[^\W\d]|[\[(]"
    r"|[*_#]{0,4}[ ]?(?:Explanation|Reason|Because|Note|Working|Steps|Solution)\b)"
)
BOLD = re.compile(r"\*\*\s*([^*\n]+?)\s*\*\*|__\s*([^_\n]+?)\s*__|<b>\s*([^<\n]+?)\s*</b>")
BOLD_LINE = re.compile(r"^[ \t>#-]*(?:\*\*|__)(?P<content>[^*_\n]+)(?:\*\*|__)[ \t.!]*$", re.MULTILINE)
LABEL = re.compile(r"\b(?:step|day|part|option|case|week|month|year|method|number|question|problem)\s+\d+\W*$", re.IGNORECASE)
EQUALS = re.compile(r"=|,?\s(?:which|that)\s(?:is|equals|gives|makes)\s")
OPERATORS = re.compile(r"[\s\d.,$€£¥₹%()*/+\-x÷]*")
MAX_UNIT_WORDS = 4
MAX_FILLER = 200  # characters


@dataclass(frozen=True)
class NumberReading:
    """The number that was read, None for none; and whether the response states it, or it is the last number only."""

    number: Number | None
    is_stated: bool


@dataclass(frozen=True)
class NumberedText:
    """A normalized text with its numbers in order."""

    text: str
    numbers: list[Number]

    @cached_property
    def starts(self) -> list[int]:
        return [number.start for number in self.numbers]

    def between(self, start: int, end: int) -> list[Number]:
        """The numbers that begin within text[start:end]."""
        return self.numbers[bisect_left(self.starts, start) : bisect_left(self.starts, end)]

    def line_of(self, place: int) -> tuple[int, int]:
        """Where the line that holds a place begins and ends."""
        end = self.text.find("\n", place)
        return self.text.rfind("\n", 0, place) + 1, len(self.text) if end < 0 else end

    def answers(self, text: str) -> bool:
        """Does this beginning of the text hold a number already?"""
        return bool(self.numbers) and self.numbers[0].end <= len(text)

    def cut(self, text: str) -> NumberedText:
        """This beginning of the text."""
        return NumberedText(text, [number for number in self.numbers if number.end <= len(text)])


def read_number(response: str) -> NumberReading:
    """The stated number of a response; where it states none, its last one.

    What follows a next question or another's turn is left out.  Of several statements the last counts, but of several
    "####" the first: it ends the answer, and a model that goes on writes more of them.
    """
    text = normalize(words_to_digits(state_in_english(state_comma_numbers_in_english(cut_at_turn(response)))))
    whole = NumberedText(text, find_numbers(text))
    whole = whole.cut(cut_at_question(text, whole.answers))
    if statement := stated_number(whole):
        return NumberReading(statement, True)
    whole = whole.cut(drop_remarks(whole.text, whole.answers))
    if alone := number_alone(whole):
        return NumberReading(alone, True)
    if in_bold := bold_in_last_line(whole):
        return NumberReading(in_bold, True)
    return NumberReading(whole.numbers[-1] if whole.numbers else None, False)


def stated_number(whole: NumberedText) -> Number | None:
    """The number behind a mark of an answer; None where there is no mark, or no number behind one."""
    for match in HASHES.finditer(whole.text):
        if number := number_after(whole, match.end()):
            return number
    statements = [n for marks in (BOX, WORDS, LINE_A) for n in numbers_after(whole, marks)]
    statements += [*field_numbers(whole), *bold_lines(whole), *corrections(whole)]
    return max(statements, key=lambda number: number.start, default=None)


def numbers_after(whole: NumberedText, marks: re.Pattern[str]) -> Iterator[Number]:
    for match in marks.finditer(whole.text):
        number = number_after(whole, match.end())
        if number and not (marks is WORDS and HYPOTHESIS.search(whole.text, max(0, match.start() - 80), match.start())):
            yield number


def corrections(whole: NumberedText) -> Iterator[Number]:
    for match in CORRECTION.finditer(whole.text):
        number = number_after(whole, match.end()) if CORRECTS.search(match[0]) else None
        if number and AFTER_CORRECTION.match(whole.text, number.end):
            yield number


def number_alone(whole: NumberedText) -> Number | None:
    """The number that is the last line of a text alone, or else its first line."""
    text, numbers = whole.text, whole.numbers
    for number in (numbers[-1], numbers[0]) if numbers else ():
        start, _ = whole.line_of(number.start)
        before, after = BARE_LINE.fullmatch(text, start, number.start), BARE_END.match(text, number.end)
        is_last = number is numbers[-1] and after and not text[after.end() :].strip()
        if before and after and (is_last or (not text[:start].strip() and GOES_ON.match(text, after.end()))):
            return number
    return None


def number_after(whole: NumberedText, start: int) -> Number | None:
    """The number directly after a mark; of an equation ("5 + 3 = 8") the last side.  None where words stand between."""
    filler = FILLER.match(whole.text, start, start + MAX_FILLER)
    start = filler.end() if filler else start
    index = bisect_left(whole.starts, start)
    if index == len(whole.starts) or whole.starts[index] - start > len("-$ "):
        return None
    return last_side(whole, index, whole.line_of(start)[1])


def last_side(whole: NumberedText, index: int, end: int) -> Number:
    """The number with this index, or the one after the last "=" that follows it in one chain of arithmetic before `end`."""
    result = whole.numbers[index]
    for before, after in zip(whole.numbers[index:], whole.numbers[index + 1 :], strict=False):
        between = whole.text[before.end : after.start]
        if after.start >= end or not OPERATORS.fullmatch(EQUALS.sub("", between)):
            break
        if EQUALS.search(between):
            result = after
    return result


def field_numbers(whole: NumberedText) -> Iterator[Number]:
    """The numbers of answer fields, and of a last sentence behind "Answer:"."""
    names = ("quoted", "bare", "tagged")
    spans = [match.span(name) for match in FIELD.finditer(whole.text) for name in names if match[name] is not None]
    without_remarks = whole.between(0, len(drop_remarks(whole.text, whole.answers)))
    last_start = without_remarks[-1].start if without_remarks else 0
    spans += [m.span("sentence") for m in ANSWER_LABEL.finditer(whole.text) if last_start < m.end("sentence")]
    for start, end in spans:
        if number := number_in_sentence(whole, start, end):
            yield number


def number_in_sentence(whole: NumberedText, start: int, end: int) -> Number | None:
    """The number that a short answer is about: "After 2 weeks, he pays $64 for 16 glasses" is about 64.

    Of an equation the last side, or what is concluded from it; otherwise the first number behind an introduction ("After 2
    weeks,").  None where there is none, and for arithmetic that nobody worked out ("3 * 25").
    """
    candidates = whole.between(start, end)
    if (equals := whole.text.rfind("=", start, end)) >= 0:
        results = whole.between(equals, end) or candidates[-1:]
        goes_on = len(results) > 1 and CONCLUSION.search(whole.text, results[0].end, end)
        return results[-1 if goes_on else 0] if results else None
    if introduction := INTRODUCTION.match(whole.text, start, end):
        candidates = whole.between(introduction.end(), end) or candidates
    if len(candidates) > 1 and OPERATORS.fullmatch(whole.text[candidates[0].end : candidates[1].start]):
        return None
    return candidates[0] if candidates else None


def bold_lines(whole: NumberedText) -> Iterator[Number]:
    """Numbers that fill a line of their own in bold, with at most a unit: "**18 dollars**"."""
    for match in BOLD_LINE.finditer(whole.text):
        number = number_after(whole, match.start("content"))
        if number and number.end <= match.end("content"):
            rest = whole.text[number.end : match.end("content")].split()
            if len(rest) <= MAX_UNIT_WORDS and not any(":" in word for word in rest):
                yield number


def bold_in_last_line(whole: NumberedText) -> Number | None:
    """The number in bold in the last line that holds any number: "She pays **$64** for 16 glasses"."""
    if not whole.numbers:
        return None
    for match in reversed(list(BOLD.finditer(whole.text, *whole.line_of(whole.starts[-1])))):
        inside = whole.between(*match.span())
        if len(inside) == 1 and not LABEL.search(whole.text[match.start() : inside[0].end]):
            return inside[0]
        if len(inside) > 1:
            side = last_side(whole, bisect_left(whole.starts, inside[0].start), match.end())
            return side if side is inside[-1] else None
    return None
