"""Where calls stand in a text with words around them: in fences, or in lines of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import accumulate

FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
LIST_MARK = re.compile(r"[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]+")
LABEL = re.compile(r"[^:\n()\[\]{}\"'=]{1,100}:[ \t*]*(?=[`\[{]|[A-Za-z_][\w.]*\()")  # "Here is the call: [f(x=1)]"
BEGINNING = re.compile(r"[\s`*_]*(?:[\[({]|[A-Za-z_][\w.]*\()")
# Between two blocks of calls: the later one stands for the earlier one, and not beside it.
REPLACES = re.compile(
    r"\b(?:wait|actually|correct(?:ed|ion|ing)?|mistake|instead|alternatively|sorry|oops|revised?|rather|should\s+(?:be|have)"
    r"|final(?:\s+answer)?)\b",
    re.IGNORECASE,
)
MAX_LINES = 60  # of one block
MAX_PARSED = 4  # times the length of a text

HoldsCalls = Callable[[str], bool]


def find_call_blocks(text: str, holds_calls: HoldsCalls) -> list[str]:
    """The blocks of a text that hold calls and nothing else, in their order: its fences, or without one its lines.

    A block that corrects or repeats an earlier one stands for it.
    """
    blocks = list[str]()
    end = 0
    for start, stop, block in [b for b in fenced_texts(text) if holds_calls(b[2])] or call_lines(text, holds_calls):
        if REPLACES.search(text, end, start):
            blocks.clear()
        if block not in blocks[-1:]:
            blocks.append(block)
        end = stop
    return blocks


def fenced_texts(text: str) -> Iterator[tuple[int, int, str]]:
    """(begin, end, content) of each fence."""
    for match in FENCE.finditer(text):
        yield match.start(), match.end(), match[1]


def call_lines(text: str, holds_calls: HoldsCalls) -> Iterator[tuple[int, int, str]]:
    """The same for lines that are calls, one or several lines each, with list marks, a label or Markdown around them."""
    lines = text.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    depths = list(accumulate(map(open_brackets, lines), initial=0))
    budget, number = MAX_PARSED * len(text) + 1000, 0
    while number < len(lines):
        begin = starts[number] + content_start(lines[number])
        last = next((i for i in range(number, min(number + MAX_LINES, len(lines))) if depths[i + 1] <= depths[number]), -1)
        if last >= 0 and budget > 0 and BEGINNING.match(text, begin, starts[number + 1]):
            block = text[begin : starts[last + 1] - 1].strip(" \t`*_;,.")
            budget -= len(block)
            if holds_calls(block):
                yield begin, starts[last + 1] - 1, block
                number = last
        number += 1


def open_brackets(line: str) -> int:
    """How many brackets a line leaves open, or closes of those before it; none of those in strings counts."""
    code = STRING.sub("", line)
    return sum(code.count(sign) for sign in "([{") - sum(code.count(sign) for sign in ")]}")


def content_start(line: str) -> int:
    """Where a line begins behind the mark of a list and a label."""
    mark = LIST_MARK.match(line)
    start = mark.end() if mark else 0
    label = LABEL.match(line, start)
    return label.end() if label else start
