"""How a response is read before a task scores it: the answer apart from the reasoning, and whether there is an answer at all.

The one function for every task that generates texts is Reader.read().  The text itself is stored as it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.prompts.display_blocks import part_displayed
from harness.prompts.loops import loop_length
from harness.prompts.reasoning_blocks import Parts, part_reasoning, trim_answer
from harness.prompts.reasoning_tags import TAGS, TagPair, leading_block
from harness.types import Response, SkilldeltaError
from harness.visible_text import is_blank

VERSION = 2  # goes up with each released change that can move a reading
WHOLE_TEXT = "none"  # as tags: nothing is parted
SILENCE = "no answer: the response is empty"
ONLY_REASONING = "no answer: nothing follows the reasoning"
UNCLOSED = "no answer: the reasoning block is never closed"
# Of Qwen, Llama, Gemma, Phi, Mistral, DeepSeek, EXAONE, Ling, MiniMax, Seed-OSS, LongCat, Hunyuan, ERNIE, Apertus, Kimi,
# Nemotron, openPangu, dots, Grok, Solar Open, HyperCLOVA, Megrez, Baichuan, InternLM.
TURN_ENDS = (
    *(f"<|{w}|>" for w in ("im_end", "eot_id", "eom_id", "end", "return", "endoftext", "end_of_text", "end_of_turn", "eos")),
    *(f"<|{w}|>" for w in ("user", "observation", "call", "calls", "flush", "pad", "END_OF_TURN_TOKEN", "end▁of▁sentence")),
    *(f"<|{w}|>" for w in ("endofturn", "turn_end", "role_end", "end_of_role", "assistant_end", "end_of_sentence", "stop")),
    *(f"<|{w}|>" for w in ("eot", "eom", "EOT", "END", "endofresponse", "separator", "end_of_assistant")),
    *(f"<｜{w}｜>" for w in ("end▁of▁sentence", "hy_place▁holder▁no▁2", "hy_end▁of▁sentence", "hy_User", "User")),
    *("<end_of_turn>", "</s>", "<eos>", "<pad>", "<turn|>", "[|endofturn|]", "[e~[", "<end_of_sentence>", "<seed:eos>"),
    *("</longcat_s>", "<EOT>", "<EOS>", "<EOS_TOKEN>", "<end_of_text>", "<end_of_utterance>", "<eoa>", "[EOS]", "[EOT]"),
    *("[unused10]", "<SPECIAL_12>", "<SPECIAL_11>", "<extra_id_1>", "<reserved_106>", "[|user|]", "<role>HUMAN</role>"),
)


def cut_turn_end(text: str) -> str:
    """The text without the tokens that end a turn, which recorded outputs may hold."""
    end, rest = len(text), len(text.rstrip())
    while ending := next((each for each in TURN_ENDS if text.endswith(each, 0, rest)), ""):
        if ending == "</s>" and text.find("<s>", 1, rest) >= 0:  # HTML's strikethrough; <s> as a token only begins a text
            break
        rest -= len(ending)
        while rest and text[rest - 1].isspace():
            rest -= 1
        end = rest
    return text[:end]


@dataclass(frozen=True)
class Reading:
    """What was seen in a text.  Lengths in characters; `loop`: how many at the end repeat one period.

    `unknown_block`: the answer begins with a block in tags that are not known, which may be reasoning.
    """

    reasoning: int = 0
    answer: int = 0
    unclosed: bool = False
    loop: int = 0
    unknown_block: bool = False

    def to_json(self) -> dict[str, int]:
        """For the sample's line: both lengths always, the others where there is something to tell."""
        lengths = {"reasoning": self.reasoning, "answer": self.answer}
        sparse = {"unclosed": self.unclosed, "loop": self.loop, "unknown_block": self.unknown_block}
        return lengths | {name: int(value) for name, value in sparse.items() if value}


@dataclass(frozen=True)
class Reader:
    """Reads responses.  `tags`: pairs that stand around reasoning; () parts nothing."""

    tags: tuple[TagPair, ...] = TAGS

    @classmethod
    def with_tags(cls, tags: Sequence[str]) -> Reader:
        """The reader for "OPEN,CLOSE" pairs; for "none" one that parts nothing; for () one that knows what models write.

        Raises SkilldeltaError for what is no pair.
        """
        if not tags:
            return cls()
        if list(tags) == [WHOLE_TEXT]:
            return cls(())
        pairs = [tuple(part.strip() for part in text.split(",")) for text in tags]
        if wrong := [text for text, pair in zip(tags, pairs, strict=True) if len(pair) != 2 or not all(pair)]:
            raise SkilldeltaError(
                f"{wrong[0]!r} is no pair of tags: write OPEN,CLOSE, such as '<scratch>,</scratch>', or none."
            )
        return cls(tuple((pair[0], pair[1]) for pair in pairs))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Reader:
        """The reader that task.json tells of; of older results, which tell of none, the one that knows what models write."""
        tags = record.get("tags", TAGS)
        return cls(() if tags == WHOLE_TEXT else tuple((pair[0], pair[1]) for pair in tags))

    @property
    def record(self) -> dict[str, Any]:
        """What task.json tells of the reader: results that were read by different ones are not compared."""
        if self.tags == TAGS:
            return {"version": VERSION}
        return {"version": VERSION, "tags": [list(pair) for pair in self.tags] or WHOLE_TEXT}

    def part(self, response: Response) -> Parts:
        """Reasoning and answer of a response; what its server has parted already stays so."""
        if not self.tags:
            return Parts(response.reasoning, response.text, "closed" if response.reasoning else "")
        truncated = response.finish == "length"
        text = cut_turn_end(response.text)
        parts = part_text(text, self.tags, response.in_block and not response.reasoning, truncated)
        if not response.reasoning:
            return parts
        return Parts(f"{response.reasoning}\n{parts.reasoning}".strip(), parts.answer, parts.state or "closed")

    def read(self, response: Response) -> tuple[str, Reading]:
        """The answer, and what was seen of the reasoning before it."""
        parts = self.part(response)
        has_answer = not is_blank(parts.answer)
        cut_in_reasoning = not has_answer and parts.reasoning and response.finish == "length"
        return parts.answer, Reading(
            reasoning=len(parts.reasoning),
            answer=len(parts.answer),
            unclosed=parts.state == "unclosed" or bool(cut_in_reasoning),
            loop=loop_length(response.text if response.text.strip() else response.reasoning),
            unknown_block=bool(self.tags and leading_block(parts.answer)),
        )


def part_text(text: str, tags: tuple[TagPair, ...], in_block: bool, truncated: bool) -> Parts:
    """part_reasoning(), with the known tags also of what programs for chats have put into a text for their pages."""
    display = part_displayed(text) if tags == TAGS and not in_block else None
    if display is None:
        return part_reasoning(text, tags, in_block, truncated)
    rest = part_reasoning(display.answer, tags, False, truncated)
    reasoning = f"{display.reasoning}\n{rest.reasoning}".strip()
    return Parts(reasoning, trim_answer(rest.answer), rest.state or "closed" if display.is_closed else "unclosed")


def missing_answer(answer: str, reading: Reading) -> str:
    """Why there is no answer to score; "" where there is one."""
    if not is_blank(answer):
        return ""
    if reading.unclosed:
        return UNCLOSED
    return ONLY_REASONING if reading.reasoning else SILENCE
