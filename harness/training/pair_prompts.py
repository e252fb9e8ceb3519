"""Where the prompt of two answers ends: a prompt of its own, one that both repeat, or the beginning that they share."""

from __future__ import annotations

import re

from harness.engine.tree import common_prefix_length
from harness.training.dialogues import HUMAN, parse_dialogue
from harness.training.messages import (
    Text,
    Turns,
    UnusableRowError,
    as_assistant_turn,
    as_user_turn,
    strip_prompt,
)
from harness.types import Message

# Where the prompt of two texts with a common beginning may end: after a line, a question or the label of a line ("Answer:").
# A full stop is no such place, because abbreviations have one.
BORDER = re.compile(r"\n+|[？！؟][\"'”’」』）)\]]*|[?!][\"'”’)\]]*(?=\s+(?![a-z]))|(?<![^\n])[\w#*][\w#*; -]{0,24}:(?=\s)")


def join_prompt(prompt: Text, chosen: Text, rejected: Text) -> tuple[Text, Text, Text]:
    """(prompt, the rest of chosen, the rest of rejected) from a prompt and answers that may repeat it."""
    if isinstance(chosen, str) != isinstance(rejected, str):
        turns = rejected if isinstance(chosen, str) else chosen
        if not prompt or not isinstance(turns, tuple) or turns[0].role != "assistant":
            raise UnusableRowError("one answer is text, the other messages")
        chosen, rejected = as_assistant_turn(chosen), as_assistant_turn(rejected)
    if isinstance(chosen, str) and isinstance(rejected, str):
        if prompt:
            return prompt, *strip_prompt(prompt, chosen, rejected)
        if chosen.startswith(HUMAN):
            return split_messages(*(tuple(Message(*turn) for turn in parse_dialogue(text)) for text in (chosen, rejected)))
        return split_text(chosen, rejected)
    assert not isinstance(chosen, str)
    assert not isinstance(rejected, str)
    if isinstance(prompt, tuple) and prompt in (chosen[: len(prompt)], rejected[: len(prompt)]):
        common, chosen, rejected = split_messages(chosen, strip_check(rejected, prompt, chosen))
        return common, chosen, rejected
    if prompt and chosen[0].role == rejected[0].role == "assistant":
        common, chosen, rejected = split_messages(chosen, rejected)
        return (*as_user_turn(prompt), *common), chosen, rejected
    common, chosen, rejected = split_messages(chosen, rejected)
    if isinstance(prompt, tuple) and prompt:
        raise UnusableRowError("the answers begin with other messages than the prompt")
    return place_question(prompt, common) if prompt else common, chosen, rejected


def require_open_end(prompt: Text) -> None:
    """Raises `UnusableRowError` for a prompt that ends with the assistant: nothing asks for an answer.

    Behind it a chat template would write a second turn of the assistant, which no model is asked for.
    """
    if isinstance(prompt, tuple) and prompt and prompt[-1].role == "assistant":
        raise UnusableRowError("the prompt ends with the assistant")


def strip_check(rejected: Turns, prompt: Turns, chosen: Turns) -> Turns:
    """`rejected`, if both answers repeat the prompt."""
    if rejected[: len(prompt)] != prompt or chosen[: len(prompt)] != prompt:
        raise UnusableRowError("only one answer repeats the prompt")
    return rejected


def place_question(question: Text, common: Turns) -> Turns:
    """The messages that both conversations begin with, if the question is one of them; behind a lone system turn it follows."""
    assert isinstance(question, str)
    turns = [m.content.strip() for m in common if m.role == "user"]
    is_dialogue = question.startswith(HUMAN) and [text for role, text in parse_dialogue(question) if role == "user"] == turns
    if is_dialogue or question.strip() in turns:
        return common
    if [m.role for m in common] == ["system"]:
        return (*common, Message("user", question))
    raise UnusableRowError("the prompt is no turn of the conversations")


def split_messages(chosen: Turns, rejected: Turns) -> tuple[Turns, Turns, Turns]:
    """(the common first messages, the rest of chosen, the rest of rejected)."""
    n = common_prefix_length(chosen, rejected)
    if n == len(chosen) and n == len(rejected):
        raise UnusableRowError("identical answers")
    if not (chosen[n:] and rejected[n:] and chosen[n].role == rejected[n].role == "assistant"):
        raise UnusableRowError("the answers part before the assistant speaks")
    return chosen[:n], chosen[n:], rejected[n:]


def split_text(chosen: str, rejected: str) -> tuple[str, str, str]:
    """(the common beginning, the rest of chosen, the rest of rejected); white space at the border belongs to the answers.

    The beginning ends at a BORDER, never inside a sentence.  Without one it is empty, and the whole texts are the answers: in a
    difference of log-probabilities their common part cancels out.
    """
    common = chosen[: common_prefix_length(chosen, rejected)]
    if not common.strip() or not re.search(r"\W", common.strip() + chosen[len(common) : len(common) + 1]):
        raise UnusableRowError("no common prompt")
    borders = [match.end() for match in BORDER.finditer(common + " ")]
    borders = [n for n in borders if n <= len(common) and not (chosen[n:].lstrip()[:1] + rejected[n:].lstrip()[:1]).islower()]
    n = borders[-1] if borders else 0
    return chosen[:n], chosen[n:], rejected[n:]
