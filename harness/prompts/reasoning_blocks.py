"""Parts reasoning from the answer in a text: tagged blocks, blocks that the prompt has opened, and gpt-oss's channels.

Rules for tags such as <think> and </think>, in the order in which they are tried:
- A tag in quotes, in code that holds the pair, in a document of markup, or in a form to be filled in is a word of the text.
- A block begins at the beginning of the text (or in the prompt), or at the beginning of a line; after a first block, anywhere
  but in the midst of a sentence.
- It ends at its first closing tag.  A closing tag that nothing opens ends a block which the prompt opened, or an outer one;
  it must stand as models write it: on a line's edge, after a sentence, or joined to the last word.
Everything takes time linear in the text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from harness.grouping import group_by
from harness.prompts.channels import LEAD, part_channels
from harness.prompts.mentioned_tags import QUOTES, WINDOW, is_form, is_indented, is_markup, is_quoted, is_word
from harness.prompts.reasoning_tags import ANSWER_TAGS, HEADING_TAGS, TAGS, TagPair, tag_pattern

Region = tuple[int, int]  # begin and end in a text
State = Literal["", "closed", "unclosed"]  # "": there is no reasoning

FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
CODE_SPAN = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]+)(?<!`)\1(?!`)")
SENTENCE_END = ".!?…。！？:;)*]}\"'”’"
IN_SENTENCE = re.compile(r"[ \t]+[a-z]")
BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")
ROLE = re.compile(r"\s*(?:<\|(?:im_start|start_header_id|start)\|>assistant\b(?:<\|end_header_id\|>)?|<\|assistant\|>)\s*")


@dataclass(frozen=True)
class Parts:
    """A text's reasoning and answer, tags left out."""

    reasoning: str
    answer: str
    state: State = ""


@dataclass(frozen=True)
class Tag:
    """A tag in a text."""

    pair: int
    opens: bool
    start: int
    end: int


def part_reasoning(text: str, pairs: tuple[TagPair, ...] = TAGS, in_block: bool = False, truncated: bool = False) -> Parts:
    """The text in two.  `in_block`: the prompt has opened a block, so that the text begins inside it.

    `truncated`: generation ended at the limit of tokens.  Channels are only looked for next to the known tags.
    """
    if pairs == TAGS and (channels := part_channels(text)):
        return Parts(channels.reasoning, channels.final, "closed" if channels.has_final else "unclosed")
    if not in_block and not tag_pattern(pairs).search(text):
        return Parts("", text)
    return BlockParser(text, pairs).part(in_block, truncated)


def ends_inside_block(prompt: str) -> bool:
    """Whether a rendered prompt ends with an opening tag: what follows it is reasoning."""
    tail = prompt.rstrip()
    return any(tail.lower().endswith(start.lower()) for start, _ in TAGS)


class BlockParser:
    """The blocks of one text."""

    def __init__(self, text: str, pairs: tuple[TagPair, ...]) -> None:
        self.text, self.pairs = text, pairs
        every_tag = [
            Tag((group - 1) // 2, group % 2 == 1, match.start(), match.end())
            for match in tag_pattern(pairs).finditer(text)
            if (group := match.lastindex)
        ]
        self.tags = [tag for tag in self.drop_code_pairs(every_tag) if not is_quoted(text, tag.start, tag.end)]

    @cached_property
    def fences(self) -> list[Region]:
        """The regions between fences of code, in order; one that nothing closes reaches to the end."""
        regions, opening = list[Region](), None
        for match in FENCE.finditer(self.text):
            if opening is None:
                opening = match
            elif match[1].startswith(opening[1]) and not match[2].strip():
                regions.append((opening.end(), match.start()))
                opening = None
        return [*regions, (opening.end(), len(self.text))] if opening else regions

    @cached_property
    def line_ends(self) -> list[int]:
        return [match.start() for match in re.finditer("\n", self.text)]

    def drop_code_pairs(self, tags: Sequence[Tag]) -> list[Tag]:
        """The tags without those in code (a fence, or a span within a line) that holds an opening and a closing one."""
        if not tags:
            return []
        spans = [match.span() for match in CODE_SPAN.finditer(self.text)]
        regions = sorted([*self.fences, *(span for span in spans if find_region(span[0], self.fences) is None)])
        tags_by_region: dict[int | None, list[Tag]] = {}
        for tag in tags:
            tags_by_region.setdefault(find_region(tag.start, regions), []).append(tag)
        examples = {
            region
            for region, inner in tags_by_region.items()
            if region is not None and any(tag.opens for tag in inner) and not inner[-1].opens
        }
        return [tag for tag in tags if find_region(tag.start, regions) not in examples]

    def text_before(self, tag: Tag) -> str:
        """What stands before a tag in its line, as far as rules look."""
        line = bisect_left(self.line_ends, tag.start)
        begin = self.line_ends[line - 1] + 1 if line else 0
        return self.text[max(begin, tag.start - WINDOW) : tag.start]

    def opens_block(self, tag: Tag, place: int, is_first: bool) -> bool:
        """Does an opening tag begin a block?  `place`: where the text after the last block begins."""
        if LEAD.fullmatch(self.text, place, tag.start):
            return True
        if (
            not is_first
            and not is_word(self.text, tag.end)
            and self.is_closed_later(tag.pair, tag.start)
            and not self.is_in_literal(tag)
        ):
            return True
        return not self.text_before(tag) and find_region(tag.start, self.fences) is None

    def end_of_mention(self, tag: Tag, place: int, pairs: set[int]) -> int:
        """Where a block ends that the text only shows, 0 for reasoning.  `pairs`: of blocks before it; `place`: their end."""
        closings = self.closings.get(tag.pair, [])
        at = bisect_left(closings, tag.end, key=lambda closing: closing.start)
        if at == len(closings) or LEAD.fullmatch(self.text, place, tag.start):
            return 0
        span = (closings[at].start, closings[at].end)
        is_shown = is_indented(self.text, tag.start) or is_form(self.text, tag.end, span)
        return span[1] if is_shown or (tag.pair not in pairs and is_markup(self.text, tag.start, tag.end, span)) else 0

    def is_in_literal(self, tag: Tag) -> bool:
        """Are the tag and its closing one the edges of a string in its line, as in r"<think>.*?</think>"?"""
        quote = self.text[tag.start - 1] if tag.start else " "
        line = self.text[tag.end : tag.end + WINDOW].partition("\n")[0]
        return quote in QUOTES and f"{self.pairs[tag.pair][1]}{quote}".lower() in line.lower()

    @cached_property
    def closings(self) -> dict[int, list[Tag]]:
        """The closing tags of each pair, in order."""
        return group_by((tag for tag in self.tags if not tag.opens), lambda tag: tag.pair)

    def is_closed_later(self, pair: int, place: int) -> bool:
        return pair in self.closings and self.closings[pair][-1].start > place

    def closes_block(self, tag: Tag, last_opening: int) -> bool:
        """Does a closing tag that nothing opens stand as models write it, and not as a word of a sentence?"""
        before, after = self.text_before(tag), self.text[tag.end : tag.end + WINDOW]
        next_character = after.lstrip(" \t")[:1]
        if not before.strip():
            return not is_word(self.text, tag.end)
        same_line = bisect_left(self.line_ends, last_opening) == bisect_left(self.line_ends, tag.start)
        if find_region(tag.start, self.fences) is not None or (last_opening >= 0 and same_line):
            return False
        if before[-1].isspace():
            ends_paragraph = not after.strip() or re.match(r"[ \t]*\r?\n[ \t]*\r?\n", after) is not None
            return ends_paragraph or before.rstrip()[-1] in SENTENCE_END or next_character.isupper() or next_character.isdigit()
        return (
            before[-1] not in QUOTES + "("
            and not is_word(self.text, tag.end)
            and not (next_character and next_character in ".,;:)")
        )

    def is_heading(self, tag: Tag, truncated: bool) -> bool:
        """Is the tag a heading of an answer, such as "[Reasoning]", which nothing closes?"""
        return self.pairs[tag.pair][0] in HEADING_TAGS and not truncated and not self.is_closed_later(tag.pair, tag.start)

    def find_blocks(self, in_block: bool, truncated: bool) -> tuple[list[Region], State]:
        """The regions of reasoning, tags included; "unclosed" where the last of them has no end."""
        blocks, place, last_opening = list[Region](), 0, -1
        pairs, mention_end = set[int](), 0
        inside: Region | None = (0, -1) if in_block else None  # the begin of the block that we are in, and its pair
        last_word = len(self.text.rstrip())
        for tag in self.tags:
            if tag.start < mention_end:
                continue
            if inside is not None:
                own_is_coming = self.is_closed_later(inside[1], tag.start)
                if not tag.opens and (inside[1] in (-1, tag.pair) or (not own_is_coming and self.closes_block(tag, -1))):
                    blocks.append((inside[0], tag.end))
                    place, inside, last_opening = tag.end, None, -1
                    pairs.add(tag.pair)
            elif tag.opens and not self.is_heading(tag, truncated):
                last_opening, mention_end = tag.start, self.end_of_mention(tag, place, pairs)
                if not mention_end and self.opens_block(tag, place, not blocks):
                    is_lead = LEAD.fullmatch(self.text, place, tag.start)
                    inside = (place if is_lead else tag.start, tag.pair)
            elif not tag.opens and self.closes_block(tag, last_opening):
                if not blocks or tag.end < last_word:
                    blocks = [(0, tag.end)]
                else:  # it follows the whole answer
                    blocks.append((tag.start, tag.end))
                place = tag.end
        if inside is not None and (blocks or truncated or in_block or inside[0] == 0):
            blocks.append((inside[0], len(self.text)))
            return blocks, "unclosed"
        return blocks, "closed" if blocks else ""

    def part(self, in_block: bool, truncated: bool) -> Parts:
        """Reasoning and answer."""
        blocks, state = self.find_blocks(in_block, truncated)
        if not blocks:
            return Parts("", self.text)
        inner = (tag_pattern(self.pairs).sub("", self.text[begin:end]) for begin, end in blocks)
        reasoning = "\n".join(LEAD.sub("", text, count=1).strip() for text in inner)
        edges = [0, *(place for block in blocks for place in block), len(self.text)]
        gaps = [self.text[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True)]
        return Parts(reasoning.strip(), trim_answer("".join(gaps)), state)


def trim_answer(text: str) -> str:
    """An answer without the blank lines (or the one blank) that part it from its block, and without tags around all of it."""
    answer = BLANK_LINES.sub("", text)
    answer = ROLE.sub("", answer, count=1) if ROLE.match(answer) else answer
    if answer[:1] == " " and not answer[1:2].isspace():
        answer = answer[1:]
    for start, end in ANSWER_TAGS:
        if answer[: len(start)].lower() == start.lower():
            inner, *rest = re.split(re.escape(end), answer[len(start) :], maxsplit=1, flags=re.IGNORECASE)
            if not rest and IN_SENTENCE.match(inner):  # "<output> tags are ..."
                return answer
            return answer if "".join(rest).strip() else inner.strip("\n")
    return answer


def find_region(place: int, regions: Sequence[Region]) -> int | None:
    """The number of the region (they are in order and apart) that holds a place; None where none does."""
    at = bisect_left(regions, (place + 1, 0)) - 1
    return at if at >= 0 and regions[at][0] <= place < regions[at][1] else None
