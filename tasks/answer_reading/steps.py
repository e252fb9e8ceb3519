"""Does an answer show the steps that led to it?  A rule on what stands before the answer."""

from __future__ import annotations

import re

from tasks.answer_reading.run_on import cut_at_question, cut_at_turn

ANNOUNCED = re.compile(r"\bstep[- ]by[- ]step\b|^[ \t#*_>-]*step\s+\d+\b", re.IGNORECASE | re.MULTILINE)
SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")
LIST_MARK = re.compile(r"[\s#*_>-]*\(?\d{1,2}[.):]\s")
MAX_CHARACTERS = 20_000  # steps that begin later are none that lead anywhere
# "5 + 3 = 8", "12 eggs * $2 per egg = $24", "\frac{3}{4} \times 8 = 6": a result that is worked out
CALCULATION = re.compile(r"\d[^=\n]{0,60}?(?:[-+*/x×÷−]|\\times|\\cdot|\\div|\\frac)[^=\n]{0,60}?=\s*\S?\s*[-$€£]?\s*[\\{]*\d")
CONNECTED = re.compile(
    r"^[\s*_>-]*(?:first\b|second\b|third\b|then\b|next\b|so\b|thus\b|therefore\b|hence\b|finally\b|now\b"
    r"|since\b|because\b|this means\b|that leaves\b|after that\b|to find\b|in total\b|we\b)",
    re.IGNORECASE,
)
DIGIT = re.compile(r"\d")


def count_steps(text: str) -> int:
    """The sentences that work something out: with a calculation, or a number behind "first", "so", "2." and the like."""
    text = cut_at_turn(text[:MAX_CHARACTERS])
    number = DIGIT.search(text)
    text = cut_at_question(text, lambda before: number is not None and number.end() <= len(before))
    return sum(count_steps_of_line(line) for line in text.split("\n"))


def count_steps_of_line(line: str) -> int:
    mark = LIST_MARK.match(line)
    sentences = SENTENCE_END.split(line[mark.end() :] if mark else line)
    return sum(is_step(sentence, is_listed=bool(mark) and place == 0) for place, sentence in enumerate(sentences))


def is_step(sentence: str, is_listed: bool) -> bool:
    match = CONNECTED.match(sentence)
    has_number = DIGIT.search(sentence, match.end() if match else 0)
    return bool(CALCULATION.search(sentence)) or bool((match or is_listed) and has_number)


def shows_steps(text: str) -> bool:
    """Whether the answer reasons step by step: it says so, or it has two steps or more."""
    return bool(ANNOUNCED.search(text[:MAX_CHARACTERS])) or count_steps(text) > 1
