"""Reasoning as programs for chats show it, some of which are servers too: they have put it into the text for a page.

Open WebUI: <details type="reasoning" done="true" ...>, wherever a block begins.  Dify and others: <details> with the summary
"Thinking..." or "Thought for 3 seconds".  LibreChat: a directive :::thinking.  Poe: *Thinking...* over quoted lines.
Others, and models that have seen them: a fence of code whose language is "thinking".
Another <details> is a part of the answer.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import NamedTuple

from harness.prompts.channels import LEAD
from harness.prompts.mentioned_tags import ANNOUNCES, WINDOW

SUMMARY = r"\s*<summary[^<>\n]{0,80}>\s*(?:[^<>\n]{0,80})</summary>"
OWN_BLOCK = re.compile(rf"^<details\b[^<>\n]{{0,300}}\btype=[\"']reasoning[\"'][^<>\n]{{0,300}}>(?:{SUMMARY})?", re.MULTILINE)
SUMMARY_BLOCK = re.compile(
    r"<details\b[^<>\n]{0,300}>\s*<summary[^<>\n]{0,80}>\W{0,8}"
    r"(?:thinking|thoughts?|reasoning)(?: process)?(?: for [^<>\n]{1,40})?\W{0,8}</summary>",
    re.IGNORECASE,
)
DIRECTIVE = re.compile(r":::thinking[ \t]*\n")
DIRECTIVE_END = re.compile(r"^:::[ \t]*$", re.MULTILINE)
THOUGHT_QUOTE = re.compile(r"\*Thinking\.\.\.\*[ \t]*\n\s*((?:^>[^\n]*(?:\n|\Z))+)", re.MULTILINE)
THOUGHT_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*(?:think(?:ing)?|thoughts?|reasoning|scratchpad)[ \t]*\n", re.IGNORECASE)
ANY_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
END = "</details>"
FENCE = re.compile(r"^[ \t]*(?:`{3}|~{3})", re.MULTILINE)


class DisplayedParts(NamedTuple):
    """A text's reasoning and answer; whether the last block is closed."""

    reasoning: str
    answer: str
    is_closed: bool


def part_displayed(text: str) -> DisplayedParts | None:
    """The text in two; None where it shows no reasoning in this way."""
    lead = LEAD.match(text)
    start = lead.end() if lead else 0
    if fence := THOUGHT_FENCE.match(text, start):
        return part_fence(text, fence)
    if "<details" not in text and ":::thinking" not in text and "*Thinking...*" not in text:
        return None
    if quote := THOUGHT_QUOTE.match(text, start):
        return DisplayedParts(re.sub("^> ?", "", quote[1], flags=re.MULTILINE).strip(), text[quote.end() :], True)
    if directive := DIRECTIVE.match(text, start):
        end = DIRECTIVE_END.search(text, directive.end())
        return DisplayedParts(text[directive.end() : end and end.start()].strip(), text[end.end() :] if end else "", bool(end))
    if (block := SUMMARY_BLOCK.match(text, start)) and not OWN_BLOCK.match(text, start):
        reasoning, end_tag, answer = text[block.end() :].partition(END)
        # A page that was asked for may be all of an answer.
        return DisplayedParts(reasoning.strip(), answer, bool(end_tag)) if answer.strip() or not end_tag else None
    return part_own_blocks(text, start)


def part_fence(text: str, opening: re.Match[str]) -> DisplayedParts | None:
    """The same for a fence; one with a language inside it is a block of its own.  None where it is all of the text."""
    depth = 1
    for fence in ANY_FENCE.finditer(text, opening.end()):
        if fence[2].strip():
            depth += 1
        elif depth > 1 or fence[1].startswith(opening[1]):
            depth -= 1
        if not depth:
            answer = text[fence.end() :]
            return DisplayedParts(text[opening.end() : fence.start()].strip(), answer, True) if answer.strip() else None
    return DisplayedParts(text[opening.end() :].strip(), "", False)


def part_own_blocks(text: str, start: int) -> DisplayedParts | None:
    """The same for blocks that say that they are reasoning: at the beginning of a line, not in code, and not announced."""
    reasoning, answer, place, is_closed = list[str](), list[str](), start, True
    fences = [fence.start() for fence in FENCE.finditer(text, start)]
    for opening in OWN_BLOCK.finditer(text, start):
        is_announced = text[max(opening.start() - WINDOW, 0) : opening.start()].rstrip().endswith(ANNOUNCES)
        if opening.start() < place or bisect_left(fences, opening.start()) % 2 or is_announced:
            continue
        answer.append(text[place : opening.start()])
        closing = text.find(END, opening.end())
        is_closed, place = closing >= 0, closing + len(END) if closing >= 0 else len(text)
        reasoning.append(text[opening.end() : closing if is_closed else len(text)].strip())
    return DisplayedParts("\n".join(reasoning), "".join([*answer, text[place:]]), is_closed) if reasoning else None
