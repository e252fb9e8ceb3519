"""Dialogues in one text, "\\n\\nHuman: ...\\n\\nAssistant: ..." (HH-RLHF, Nectar), as turns."""

from __future__ import annotations

import re
from typing import Literal

Turn = tuple[Literal["user", "assistant"], str]  # role and content

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


def parse_dialogue(text: str) -> tuple[Turn, ...]:
    """The turns of a dialogue; one that waits for an answer ends with an empty turn of the assistant."""
    parts = re.split(f"({re.escape(HUMAN)}|{re.escape(ASSISTANT)})", text)
    pieces = zip(parts[1::2], parts[2::2], strict=True)
    return tuple(("user" if tag == HUMAN else "assistant", content.strip()) for tag, content in pieces)


def question_turns(text: str) -> tuple[Turn, ...]:
    """A prompt in plain text as turns: the turns of a dialogue, or one turn of the user."""
    if not text.startswith(HUMAN):
        return (("user", text),)
    turns = parse_dialogue(text)
    return turns if turns[-1][1] or turns[-1][0] == "user" else turns[:-1]
