"""A next question that a model asks itself after its answer: no part of what it was asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice

from harness.prompts.reading import TURN_ENDS

# Ends of a turn that a template or a server left in the text, and beginnings of another's turn.
TURN = re.compile(
    rf"{'|'.join(map(re.escape, TURN_ENDS))}"
    r"|<\|(?:im_start|start_header_id|header_start|start_of_role|user_start|system|message)\|>"
    r"|<start_of_turn>|<\|turn>|\]~b\]|<seed:bos>|\[/?INST\]"
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
# What a last sentence or a last bracket tells of the response itself: "Confidence: 95%", "[Word count: 55]", "(55 words)".
SIZE = r"\d[\d.,]*[ ](?:words|characters|tokens)"
ABOUT_RESPONSE = re.compile(
    r"(?:(?<=[.!?\n])|(?<=[.!?\n]\s)|(?<=[.!?\n]\s\s))[*_(\[]{0,3}(?:(?:my|overall)[ ])?(?:confidence|certainty)"
    r"(?:[ ](?:level|score))?[*_]*[ ]?(?::|=|is)[*_ ]*[~≈]?\d[\d.,/]*[ ]?%?(?:[ ]out[ ]of[ ]\d+)?[*_.)\]]*\s*\Z"
    rf"|(?:[\[(][*_ ]{{0,3}}(?:total[ ])?(?:word|character|token)s?[ ](?:count|used)[ ]?[:=][ ]?(?:{SIZE}|\d[\d.,]*)"
    rf"|(?<=\n)[\[(]{SIZE})"
    r"[*_. ]{0,3}[\])][*_.]*\s*\Z",
    re.IGNORECASE,
)
MAX_ABOUT = 120  # characters
MAX_TURNS = 50  # marks of turns behind a function that are looked at
PARAGRAPH = re.compile(r"\n\s*\n(?=[ \t]*\S)")


def drop_remarks(text: str, is_answer: Callable[[str], bool]) -> str:
    """The text without last paragraphs that are remarks ("Note that ...", "Let me know ..."), where an answer stands before.

    Neither has it a last sentence that tells of the response itself ("Confidence: 95%").
    """
    text = text.rstrip()
    while (about := ABOUT_RESPONSE.search(text, max(0, len(text) - MAX_ABOUT))) and is_answer(text[: about.start()]):
        text = text[: about.start()].rstrip()
    for gap in reversed(list(PARAGRAPH.finditer(text))):
        if not REMARK.match(text, gap.end()) or not is_answer(text[: gap.start()]):
            break
        text = text[: gap.start()]
    return text


def cut_at_turn(text: str) -> str:
    """The text before the first mark of another turn, where anything stands before it."""
    return first_part(text, TURN, lambda before: bool(before.strip()))


def cut_behind_function(text: str, name: str) -> str:
    """The text before another's turn that follows the function `name`: programs of later turns answer something else.

    Within a fence of code only a token of a chat format begins a turn: "Human:" may be a line of the program.
    """
    definition = re.search(rf"^[ \t>]*(?:(?:async[ \t]+)?def[ \t]+|class[ \t]+){re.escape(name)}\b", text, re.MULTILINE)
    if not definition:
        return text
    for turn in islice(TURN.finditer(text, definition.end()), MAX_TURNS):
        is_token = text.startswith(("<|", "<｜"), turn.start())
        if is_token or text.count("```", 0, turn.start()) % 2 == 0:
            return text[: turn.start()]
    return text


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
