"""Dialogues in one text as turns.

They are "\\n\\nHuman: ...\\n\\nAssistant: ..." (HH-RLHF, Nectar), lines of "Human:" and "Assistant:" (BELLE), or marked by NeMo
(HelpSteer) or Glaive.
"""

from __future__ import annotations

import re
from typing import Literal

Turn = tuple[Literal["user", "assistant"], str]  # role and content

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
# NeMo's marks of turns.  A prompt of several turns has them from its second turn on.
TURN_MARK = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")
SPEAKER = re.compile(r"(?:\A|\n+)(Human|Assistant):")  # at the beginning of a line
GLAIVE_MARK = re.compile(r"(?:\A\s*|\n\n\n)(USER|ASSISTANT|FUNCTION RESPONSE):")
GLAIVE_END = "<|endoftext|>"
GLAIVE_ROLES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}


def parse_dialogue(text: str) -> tuple[Turn, ...]:
    """The turns of a dialogue; one that waits for an answer ends with an empty turn of the assistant."""
    parts = re.split(f"({re.escape(HUMAN)}|{re.escape(ASSISTANT)})", text)
    pieces = zip(parts[1::2], parts[2::2], strict=True)
    return tuple(("user" if tag == HUMAN else "assistant", content.strip()) for tag, content in pieces)


def has_turn_marks(text: str) -> bool:
    """Whether NeMo's marks, or lines of "Human:" and "Assistant:" from the first to the last, divide a text into turns."""
    return bool(TURN_MARK.search(text)) or is_waiting_dialogue(text)


def is_waiting_dialogue(text: str) -> bool:
    """Whether a text begins with "Human:" and waits for an answer behind "Assistant:" on a line of its own."""
    return bool(re.match(r"Human:", text) and re.search(r"\nAssistant:\s*\Z", text))


def parse_glaive_turns(text: str) -> tuple[tuple[str, str], ...]:
    """(role, content) of the turns of Glaive's chats; none where a text does not begin with one."""
    first, *rest = GLAIVE_MARK.split(text)
    if first.strip() or not rest:
        return ()
    pieces = [(name, part.strip().removesuffix(GLAIVE_END).rstrip()) for name, part in zip(rest[::2], rest[1::2], strict=True)]
    return tuple((GLAIVE_ROLES[name], part) for name, part in pieces)


def parse_marked_turns(text: str) -> tuple[Turn, ...]:
    """The turns between NeMo's marks, of which the first may have none and is the user's."""
    first, *rest = TURN_MARK.split(text)
    pieces = [("User", first), *zip(rest[::2], rest[1::2], strict=True)]
    return tuple(("user" if name == "User" else "assistant", part) for name, part in pieces if part.strip())


def question_turns(text: str) -> tuple[Turn, ...]:
    """A prompt in plain text as turns: the turns of a dialogue, or one turn of the user."""
    if is_waiting_dialogue(text):
        _, *parts = SPEAKER.split(text)
        pieces = [(name, part.strip()) for name, part in zip(parts[::2], parts[1::2], strict=True)]
        return tuple(("user" if name == "Human" else "assistant", part) for name, part in pieces[:-1])
    if has_turn_marks(text):
        return parse_marked_turns(text)
    if not text.startswith(HUMAN):
        return (("user", text),)
    turns = parse_dialogue(text)
    return turns if turns[-1][1] or turns[-1][0] == "user" else turns[:-1]
