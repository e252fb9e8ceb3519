"""A next question that a model asks itself after its answer: no part of what it was asked."""

from __future__ import annotations

import re
from collections.abc import Callable

# Ends of a turn that a template or a server left in the text, and beginnings of another's turn.
TURN = re.compile(
    r"<\|(?:im_end|im_start|eot_id|eom_id|end|endoftext|end_of_text|start_header_id|end_of_turn|user|system|return|message)\|>"
    r"|<(?:end_of_turn|start_of_turn)>|</s>|<｜end▁of▁sentence｜>|<｜User｜>|\[/?INST\]"
    r"|\n[ \t*#>_]*(?:User|Human|USER|HUMAN)[*_]*[ \t]*:|\n[ \t]*#+ (?:Instruction|Human|User)\b"
)
QUESTION = re.compile(
    r"\n[ \t*#>_]*(?:(?:next|new|another|now another|follow-?up|bonus|second)[ \t]+)?(?:question|problem|q|exercise)[ \t]*"
    r"(?:#?\d+[ \t]*)?(?:[:.][*_]*|[*_]+[:.])(?=\s|$)",
    re.IGNORECASE,
)

# A last paragraph that begins so adds nothing to the answer.
REMARK = re.compile(
    r"""[^\w\n]{0,12}(?:(?:please\s)?note\b|n\.?b\.?:|remark\b|let\sme\sknow|(?:i\s)?hope\s(?:this|that|it|you)
    |feel\sfree|would\syou\slike|do\syou\s(?:want|need|have|see)|if\syou(?:\s(?:have|need|want|would)|'d)|is\sthere\sanything|p\.?s\.?:|(?:to\s)?(?:double[-\s])?(?:check|verify)\b
    |verification\b|this\sassumes\b)|\([^\n]*\)[ \t]*$""",
    re.VERBOSE | re.IGNORECASE,
)
PARAGRAPH = re.compile(r"\n\s*\n(?=[ \t]*\S)")


def drop_remarks(text: str, is_answer: Callable[[str], bool]) -> str:
    """The text without last paragraphs that are remarks ("Note that ...", "Let me know ..."), where an answer stands before."""
    text = text.rstrip()
    for gap in reversed(list(PARAGRAPH.finditer(text))):
        if not REMARK.match(text, gap.end()) or not is_answer(text[: gap.start()]):
            break
        text = text[: gap.start()]
    return text


def cut_at_turn(text: str) -> str:
    """The text before the first mark of another turn, where anything stands before it."""
    return first_part(text, TURN, lambda before: bool(before.strip()))


def cut_at_question(text: str, is_answer: Callable[[str], bool]) -> str:
    """The text before the first line that begins a question ("Q:", "**Question:**"), where an answer stands before it.

    A response may repeat its own question first: `is_answer` says whether what stands before the line answers already.
    """
    return first_part(text, QUESTION, is_answer)


def first_part(text: str, mark: re.Pattern[str], is_enough: Callable[[str], bool]) -> str:
    for match in mark.finditer(text):
        if is_enough(text[: match.start()]):
            return text[: match.start()]
    return text
