"""A recorded text that holds the prompt too: a conversation as a chat template writes it, with the marks of its turns."""

from __future__ import annotations

import re

# The beginnings of turns, by template: of the user or the system, and of the assistant.
MARKS = (
    (r"<\|im_start\|>[ ]?(?:system|user)\b", r"<\|im_start\|>[ ]?assistant\b[^\S\n]*\n?"),
    (
        r"<\|start_header_id\|>(?:system|user)<\|end_header_id\|>",
        r"<\|start_header_id\|>assistant<\|end_header_id\|>[^\S\n]*\n{0,2}",
    ),
    (r"<start_of_turn>(?:system|user)\b", r"<start_of_turn>model\b[^\S\n]*\n?"),
    (r"<\|turn>(?:system|user)\b", r"<\|turn>model\b[^\S\n]*\n?"),
    (r"<\|(?:system|user)\|>", r"<\|assistant\|>[^\S\n]*\n?"),
    (r"<｜User｜>", r"<｜Assistant｜>"),
    (r"\[INST\]", r"\[/INST\]"),
    (
        r"<\|START_OF_TURN_TOKEN\|><\|(?:SYSTEM|USER)_TOKEN\|>",
        r"<\|START_OF_TURN_TOKEN\|><\|CHATBOT_TOKEN\|>(?:<\|START_RESPONSE\|>)?",
    ),
    (r"\[\|(?:system|user)\|\]", r"\[\|assistant\|\]"),
    (r"<\|start_of_role\|>(?:system|user)<\|end_of_role\|>", r"<\|start_of_role\|>assistant<\|end_of_role\|>"),
    (r"### (?:Instruction|Human|User):", r"### (?:Response|Assistant):[^\S\n]*\n?"),
)
BEGINNINGS = r"\s*(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<BOS_TOKEN>|\[BOS\]|\[gMASK\]<sop>|\s)*"
TEMPLATES = tuple((re.compile(BEGINNINGS + other), re.compile(other), re.compile(assistant)) for other, assistant in MARKS)
USER = re.compile(r"user|User|USER|Human|Instruction|INST")
WAY_OUT = "record what the model said alone"


def answer_of_conversation(text: str) -> tuple[str, str]:
    """(the answer, "") of a text; ("", why) of a conversation that does not tell where its answer begins.

    A text that begins with another's turn holds its prompt, and the answer follows the assistant's mark.  With several of the
    user's turns nothing tells examples before the question from turns that the model wrote itself.
    """
    for begins, other, assistant in TEMPLATES:
        if begins.match(text):
            questions = [match for match in other.finditer(text) if USER.search(match[0])]
            starts = [match.end() for match in assistant.finditer(text) if questions and match.start() > questions[0].start()]
            if len(questions) == len(starts) == 1:
                return text[starts[0] :], ""
            found = f"{len(questions)} turns of the user and {len(starts)} of the assistant"
            return "", f"the recorded text is a conversation of {found}: {WAY_OUT}"
    return text, ""
