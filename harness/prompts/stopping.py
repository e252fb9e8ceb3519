"""When a generated text ends: at a stop string of its answer, or when its tokens for reasoning or for the answer are spent.

A stop string inside a block of reasoning ends nothing: "\\n\\n" would end the block in its first paragraph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.prompts.reasoning_blocks import part_reasoning
from harness.prompts.reasoning_tags import TAGS

LEAD_TOKENS = 24  # the tokens at the beginning in which an opening tag must stand
Decode = Callable[[Sequence[int]], str]
StringCheck = Callable[[list[int]], bool]  # of ids: is one of some strings at the end of their text?


@dataclass(frozen=True)
class AnswerBudget:
    """Tokens for the reasoning, and behind it for the answer; 0 for the reasoning: one limit holds for both together."""

    thinking: int = 0
    answer: int = 0


class StopCheck:
    """Called with the new ids after each token: does the text so far end here?

    `stops`, `closings`: checks for the request's stop strings, and for a tag that closes reasoning.  `in_block`: the prompt has
    opened a block.  `over_budget`: whether the text ended because its budget was spent.
    """

    def __init__(self, decode: Decode, stops: StringCheck, closings: StringCheck, in_block: bool, budget: AnswerBudget) -> None:
        self.decode, self.stops, self.closings, self.in_block, self.budget = decode, stops, closings, in_block, budget
        self.reset()

    def reset(self) -> None:
        self.size, self.begin, self.over_budget = 0, 0, False  # ids so far; where the answer begins in them
        self.is_behind_block = False
        self.inside: bool | None = True if self.in_block else None  # None: the beginning does not say yet

    def __call__(self, ids: list[int]) -> bool:
        if len(ids) != self.size + 1:  # another text, or one that was not watched from its beginning
            self.reset()
            for size in range(1, len(ids)):
                self.advance(ids[:size])
        return self.advance(ids)

    def advance(self, ids: list[int]) -> bool:
        """Takes one more token."""
        self.size = len(ids)
        if self.inside is None:
            self.inside = self.find_opening(ids)
        if self.inside:
            if not self.closings(ids):
                self.over_budget = 0 < self.budget.thinking <= len(ids)
                return self.over_budget
            self.inside, self.begin, self.is_behind_block = False, len(ids), True
            return False
        answer = ids[self.begin :]
        if self.is_behind_block and not self.decode(answer).strip():
            self.begin = len(ids)  # the blank lines between a block and its answer
            return False
        if answer and self.stops(answer):
            return True
        self.is_behind_block = False
        self.over_budget = self.inside is False and self.budget.thinking > 0 and len(answer) >= self.budget.answer
        return self.over_budget

    def find_opening(self, ids: list[int]) -> bool | None:
        """Whether the text begins with a tag that opens a block; None while it may still become one."""
        text = self.decode(ids).lstrip().lower()
        openings = [opening.lower() for opening, _ in TAGS] + ["analysis"]
        if any(text.startswith(opening) for opening in openings):
            return True
        may_become_one = any(opening.startswith(text) for opening in openings)
        return None if may_become_one and len(ids) < LEAD_TOKENS else False


def answer_start(text: str, in_block: bool) -> int:
    """Where the answer begins in a text: behind its reasoning and blank lines; at the end where there is only reasoning."""
    parts = part_reasoning(text, TAGS, in_block)
    if not parts.state:
        return 0
    return max(text.rfind(parts.answer), 0) if parts.answer else len(text)


def cut_at_stop(text: str, stops: Sequence[str], in_block: bool = False) -> str:
    """The text up to the first stop string of its answer."""
    strings = [s for s in stops if s]
    if not any(s in text for s in strings):
        return text
    start = answer_start(text, in_block)
    ends = [at for s in strings if (at := text.find(s, start)) >= 0]
    return text[: min(ends)] if ends else text
