"""Code between fences, where the text has it in a quotation, in HTML, or behind the prompts of an interpreter.

The work is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

FENCES = ("```", "~~~")
QUOTATION = re.compile(r"[ \t]{0,8}>(?!>)")  # not ">>> "
FENCE_LINE = re.compile(r"[ \t]*(?:`{3}|~{3})")
PRE = re.compile(r"^[ \t]*<pre\b[^<>\n]{0,200}>\s*(?:<code\b[^<>\n]{0,200}>)?", re.MULTILINE | re.IGNORECASE)
PRE_END = re.compile("</pre>", re.IGNORECASE)
ENTITY = re.compile(r"&(lt|gt|amp|quot|apos|nbsp|#39|#x27);")
SIGNS = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "nbsp": " ", "#39": "'", "#x27": "'"}
TRIPLE_QUOTES = ('"""', "'''")


def plain_layout(text: str, name: str) -> str:
    """The text with fences around its code; without the prompts of an interpreter, where the function `name` is behind one."""
    if ">" in text:
        text = open_quotations(text)
    if "<pre" in text.lower():
        text = "".join(fence_html(text))
    word = re.escape(name)
    if re.search(rf"^>>> (?:(?:(?:async[ ]+)?def|class)[ ]+{word}\b|{word}\s*=(?!=))", text, re.MULTILINE):
        text = "\n".join(drop_prompts(text))
    return text


def count_fences(lines: list[str]) -> int:
    return sum(line.count(mark) for line in lines for mark in FENCES)


def open_quotations(text: str) -> str:
    """The text with each quotation that holds a fence as plain lines; one within a fence is part of the code."""
    plain_lines: list[str] = []
    in_fence = False
    for is_quotation, group in groupby(text.split("\n"), lambda line: bool(QUOTATION.match(line))):
        lines = list(group)
        inner = [line.lstrip(" \t")[1:] for line in lines]
        if all(line[:1] in ("", " ") for line in inner):
            inner = [line[1:] for line in inner]
        if is_quotation and not in_fence and any(FENCE_LINE.match(line) for line in inner):
            plain_lines += inner + ["```"] * (count_fences(inner) % 2)  # a fence ends with its quotation
        else:
            plain_lines += lines
            in_fence ^= bool(count_fences(lines) % 2)
    return "\n".join(plain_lines)


def fence_html(text: str) -> Iterator[str]:
    """The parts of the text, each <pre> as a fence with plain signs; one within a fence is part of the code."""
    place, fences = 0, 0
    for opening in PRE.finditer(text):
        if opening.start() < place:
            continue
        before = text[place : opening.start()]
        fences += count_fences([before])
        closing = PRE_END.search(text, opening.end()) if fences % 2 == 0 else None
        if fences % 2 == 0 and not closing:
            break  # none is closed from here on
        yield before
        place = closing.end() if closing else opening.start()
        if closing:
            code = text[opening.end() : closing.start()].rstrip().removesuffix("</code>").strip("\n")
            is_code = not count_fences([code])
            yield f"```\n{ENTITY.sub(plain_sign, code)}\n```\n" if is_code else text[opening.start() : place]
    yield text[place:]


def plain_sign(entity: re.Match[str]) -> str:
    return SIGNS[entity[1]]


def drop_prompts(text: str) -> Iterator[str]:
    """The lines without the prompts ">>> " and "... " before them; those in a docstring stay."""
    quote, in_session = "", False
    for line in text.split("\n"):
        is_typed = not quote and (line == ">>>" or line.startswith(">>> "))
        in_session = is_typed or (in_session and (line.startswith("... ") or line.rstrip() == "..."))
        plain_line = line[4:] if in_session else line
        quote = open_quote(plain_line, quote)
        yield plain_line


def open_quote(line: str, quote: str) -> str:
    """The triple quote that is open after `line`, if `quote` was open before it; "" for none."""
    place = 0
    while True:
        marks = [(at, mark) for mark in ([quote] if quote else TRIPLE_QUOTES) if (at := line.find(mark, place)) >= 0]
        if not marks:
            return quote
        at, mark = min(marks)
        quote, place = "" if quote else mark, at + len(mark)
