"""Rows to imitate and prompts to answer, of every known format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.training.column_names import NOTE_NAMES
from harness.training.messages import (
    Text,
    UnusableRowError,
    as_assistant_turn,
    as_user_turn,
    require_content,
    require_question,
    strip_turns,
)
from harness.training.nested_columns import PAIR_FORMS, ROW_FORMS, unfold_columns
from harness.training.parse_settings import ParseSettings
from harness.training.preferences import parse_pair, require_prompt
from harness.training.row_columns import (
    ADDITIONS,
    ANSWERS,
    CONVERSATIONS,
    PAIR_ANSWERS,
    QUESTIONS,
    RowColumns,
    add_context,
    asks,
    has_empty_question,
    take_prompt,
    take_question,
)
from harness.training.votes import read_rounds
from harness.types import Json, SkilldeltaError

PROMPTS = (*QUESTIONS, *ADDITIONS, *CONVERSATIONS)
COMPARED = (
    "chosen",
    "rejected",
    "response_w",
    "response_l",
    "conversation_a",
    "score_A",
    "winner_model_a",
    "preferred_output",
    "rejected_messages",
    "summaries",
)  # rows of two answers to a prompt
NOT_LEARNT = {"weight", "train", "train_turn", "trainable", "loss"}  # where a message says so with 0 or false


@dataclass(frozen=True)
class Conversation:
    """A row to imitate.  The prompt is masked; an empty prompt (`text` rows) means that the whole text is learnt."""

    prompt: Text
    answer: Text
    source: str = ""
    kind: str = ""


@dataclass(frozen=True)
class PolicyPrompt:
    """A prompt for the policy to answer."""

    prompt: Text
    source: str = ""
    kind: str = ""


def parse_conversation(row: Json, settings: ParseSettings) -> Conversation:
    """A row to imitate.  Of a conversation the last message is learnt; the messages before it are the prompt."""
    original = row
    row = unfold_columns(original, ROW_FORMS, settings.unused)
    columns = RowColumns(row, settings, file_columns=tuple(original))
    name = columns.holds(*ANSWERS) or next((n for n in ANSWERS if n in row), "")
    if columns.holds(*CONVERSATIONS) or (not name and any(n in row for n in CONVERSATIONS)):
        prompt, answer = parse_last_turn(columns)
    elif name:
        prompt, answer = parse_answered_prompt(columns, name)
    elif "text" in row:
        if "parent_id" in row or "role" in row:
            raise SkilldeltaError(
                f"A row of {settings.source or 'the data'} has the columns {', '.join(original)}: single messages of "
                "conversations, as OpenAssistant stores them.  Join each path through a tree into a row: messages, a list of "
                "{role, content}."
            )
        prompt, answer = "", columns.take_answer("text", "text")
    else:
        raise SkilldeltaError(
            f"A row of {settings.source} has the columns {', '.join(original)}, which is no known format to imitate.  "
            "Known are: messages or conversations; prompt, question or instruction and input, with completion, response, "
            "output or answer; text; Gemini's contents; the columns of Glaive, xLAM and UltraChat.  Of pairs, name the "
            "better answer so."
        )
    columns.check_rest(NOTE_NAMES)
    if (prompt or "prompt" in row) and is_undesirable(columns):
        raise UnusableRowError("an answer whose label is false")
    if settings.chat and isinstance(prompt, str) and prompt:
        prompt, answer = as_user_turn(prompt), as_assistant_turn(answer)
    require_prompt(prompt, answer)
    return Conversation(prompt, answer, settings.source, settings.kind)


def is_undesirable(columns: RowColumns) -> bool:
    """Whether a row for KTO says of its answer that it is none to imitate.  Elsewhere a number may label anything."""
    name = columns.holds("label", "kto_tag") if columns.row.get("label") != 0 else "label"
    value = columns.row.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not (name == "kto_tag" or columns.holds("completion")):
        return False
    return str(value).strip().lower() in ("false", "0", "0.0", "-1", "undesirable", "rejected")


def parse_answered_prompt(columns: RowColumns, name: str) -> tuple[Text, Text]:
    """(the prompt, the answer in the column `name`), both as messages where one of them is."""
    answer, prompt = columns.take_answer(name, name), take_prompt(columns)
    if not prompt and has_empty_question(columns.row):
        raise UnusableRowError("no prompt")
    if isinstance(prompt, tuple):
        answer = as_assistant_turn(answer)
    elif isinstance(answer, tuple):
        prompt = as_user_turn(prompt) if prompt else ""
    if columns.holds("text"):  # Alpaca's own rendering of the other columns
        columns.read.add("text")
    return prompt, strip_turns(prompt, answer) if prompt else answer


def parse_last_turn(columns: RowColumns) -> tuple[Text, Text]:
    """(the messages before the last, the last one).  A question next to them must be one of their turns."""
    name = columns.holds(*CONVERSATIONS) or next(n for n in CONVERSATIONS if n in columns.row)
    turns = columns.take_text(name)
    if isinstance(turns, str) or not turns or turns[-1].role != "assistant":
        raise UnusableRowError(f"{name} do not end with the assistant")
    messages = columns.row[name]
    last = messages[-1] if isinstance(messages, Sequence) else messages
    for mark in NOT_LEARNT & last.keys() if isinstance(last, Mapping) else ():
        if str(last[mark]).lower() in ("0", "0.0", "false"):
            raise UnusableRowError(f"the last message has the {mark} {last[mark]}")
    question = take_question(columns)
    if question and not asks(turns, question):
        raise UnusableRowError("the prompt is no turn of the conversation")
    return add_context(columns, require_question(turns[:-1])), require_content(turns[-1:], "assistant's")


def parse_prompt(row: Json, settings: ParseSettings) -> PolicyPrompt:
    """A policy prompt.  A question or an instruction becomes a user turn; `prompt` and `messages` stay as they are.

    The prompt of a pair is what both answers go on from; other answers that a row holds are not read.
    """
    original = row
    row = unfold_columns(original, PAIR_FORMS, settings.unused)
    has_columns = any(name in row for name in PROMPTS)
    if any(name in row for name in COMPARED):
        try:
            if pair_prompt := parse_pair(original, settings).prompt:
                return PolicyPrompt(pair_prompt, settings.source, settings.kind)
        except UnusableRowError:  # answers that are no pair may still have a prompt
            if not has_columns or read_rounds(row.get("prompt")):
                raise
    columns = RowColumns(row, settings, file_columns=tuple(original))
    if not has_columns and not any(name in row for name in COMPARED):
        raise SkilldeltaError(
            f"A row of {settings.source} has the columns {', '.join(original)}, which is no known format of prompts.  "
            f"Known are: {', '.join(PROMPTS)}; and pairs of answers that begin with the prompt."
        )
    question = take_question(columns) if columns.holds(*QUESTIONS) else ""
    prompt = add_context(columns, place_in_conversation(columns, question)) if question else take_prompt(columns)
    if isinstance(prompt, tuple) and prompt and prompt[-1].role == "assistant":
        prompt = prompt[:-1]
    if not prompt:
        raise UnusableRowError("no prompt")
    columns.read.update((*ANSWERS, *PAIR_ANSWERS, "text"))
    columns.check_rest()
    return PolicyPrompt(as_user_turn(prompt) if settings.chat else prompt, settings.source, settings.kind)


def place_in_conversation(columns: RowColumns, question: Text) -> Text:
    """A question behind the turns that precede it in the row's conversation; as it is where that begins with it, or is none.

    Raises `UnusableRowError` where the conversation does not hold the question.
    """
    conversation = columns.take_text(*CONVERSATIONS)
    if not conversation:
        return question
    if not asks(conversation, question):
        raise UnusableRowError("a prompt next to a conversation")
    turns, text = as_user_turn(conversation), as_user_turn(question)[-1].content.strip()
    place = next(i for i, m in enumerate(turns) if m.role == "user" and m.content.strip() == text)
    return turns[: place + 1] if place else question
