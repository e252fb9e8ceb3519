"""Reasoning without tags: gpt-oss's channels, with its special tokens or as the words left of them, and Granite's headings."""

from __future__ import annotations

import re
from typing import NamedTuple

# What may stand before a response's own text: tokens that begin a text, and those and headings of the assistant's role.
LEAD = re.compile(
    r"(?:[\s\ufeff\u200b]|<s>|<bos>|<sop>|\[gMASK\]|<[|｜][\w▁]{1,40}[|｜]>(?:assistant\b)?"
    r"|(?:<start_of_turn>|<\|turn>)(?:model\b)?|<beginning_of_sentence>(?:ai\b[^<\n]{0,40})?|\]~!b\[|\]~b\](?:ai\b)?"
    r"|<seed:bos>(?:assistant\b)?|<(?:SPECIAL_11|extra_id_1)>(?:Assistant\b)?|<longcat_(?:s|assistant)>|\[\|assistant\|\]"
    r"|<role>ASSISTANT</role>|\[/INST\]|\[unused9\](?:助手：)?|<reserved_107>"
    r"|(?:[Aa]ssistant|ASSISTANT)(?::|(?=[ \t]*\n))|#{2,4}[ \t]*(?:Response|Assistant)[ \t]*:?(?=[ \t]*\n))*"
)
CHANNEL, MESSAGE, FINAL = "<|channel|>", "<|message|>", "assistantfinal"
MESSAGE_END = re.compile(r"<\|(?:end|return|call|start)\|>")
NEXT_CHANNEL = re.compile(
    r"<\|end\|>\s*<\|start\|>assistant\s*<\|channel\|>\w+[^<\n]{0,80}(?:<\|constrain\|>\w+)?<\|message\|>"
)
HEADINGS = re.compile(r"\s*Here(?:['’]s| is) my thought process:(.*?)\n[^\S\n]*Here(?:['’]s| is) my response:", re.DOTALL)
PLAIN_CHANNEL = re.compile(r"\s*(?:assistant)?(?:analysis|commentary)")
# Joined to "analysis", the first word of reasoning ("analysisWe need ..."), and no name in code ("analysis1 = 3").
FIRST_WORD = re.compile(r"(?!\w*(?:[(\[]|\.\w|[ \t]*(?:[-+*/%|&^:]?=(?!=)|[:,][ \t]*\w+[ \t]*=|->)))[^\W_]|[\"“‘]\w")


class Channels(NamedTuple):
    """What a response says in its final channel, and in all others."""

    reasoning: str
    final: str
    has_final: bool


def part_channels(text: str) -> Channels | None:
    """What Channels says, of a text with channels or headings; None for other texts."""
    lead = LEAD.match(text)
    start = lead.end() if lead else 0
    if CHANNEL in text[:start] or has_next_channel(text):
        before, *others = text.split(CHANNEL)  # before: in a channel that the prompt has opened
        pieces = [piece.partition(MESSAGE) for piece in others]
        contents = [(head.split()[:1], MESSAGE_END.split(content, maxsplit=1)[0]) for head, _, content in pieces]
        if opened := MESSAGE_END.split(before[start:].removeprefix(MESSAGE), maxsplit=1)[0]:
            contents.insert(0, ([], opened))
        finals = [content for name, content in contents if name == ["final"]]
        reasoning = "\n".join(content for name, content in contents if name != ["final"])
        return Channels(reasoning, "".join(finals), bool(finals))
    if headings := HEADINGS.match(text):
        return Channels(headings[1].strip(), text[headings.end() :].lstrip(), True)
    opening = PLAIN_CHANNEL.match(text)
    begin = opening.end() if opening else 0
    if opening or text.lstrip().startswith(FINAL):
        reasoning, final, answer = text[begin:].partition(FINAL)
        if final:
            return Channels(reasoning, answer, True)
        if opening and opening[0].endswith("analysis") and FIRST_WORD.match(text, begin):
            return Channels(reasoning, "", False)
    return None


def has_next_channel(text: str) -> bool:
    """Whether the response goes on in another channel; tokens that it shows in code are words of it."""
    match = NEXT_CHANNEL.search(text)
    if match is None:
        return False
    before = text[: match.start()]
    return before.count("```") % 2 == 0 and before[before.rfind("\n") + 1 :].count("`") % 2 == 0
