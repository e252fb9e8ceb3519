"""The columns of a training row: what holds the prompt, what is a label, and what would be lost without a word.

A column is read, or it is a label (a number, a flag, an id) or a note on the answers, or the row is refused: a column of words
that nobody understands may be half of the question.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.training.column_names import NOTE_NAMES, REASON_NAMES, TEMPLATE_SETTINGS, has_effect, may_be_content, name_parts
from harness.training.dialogues import has_turn_marks
from harness.training.messages import (
    Text,
    Turns,
    UnusableRowError,
    as_user_turn,
    content_text,
    declare_tools,
    parse_answer,
    parse_json,
    parse_text,
    require_question,
)
from harness.training.parse_settings import ParseSettings
from harness.training.row_texts import nested_texts
from harness.types import Json, Message, SkilldeltaError

SYSTEM = ("system", "system_prompt", "system_message")
QUESTIONS = ("prompt", "question", "instruction", "query", "problem")
ADDITIONS = ("input", "context")  # the second half of an instruction; the question itself where there is no other
CONVERSATIONS = ("messages", "conversations", "conversation")
ANSWERS = ("completion", "response", "output", "solution", "answer")
# Columns of answers in rows of preferences: a policy's prompts may stand in such rows.
PAIR_ANSWERS = (
    *("chosen", "rejected", "response_w", "response_l", "response_j", "response_k", "chosen_response", "rejected_response"),
    *(
        "response_a",
        "response_b",
        "response_0",
        "response_1",
        "response_2",
        "response1",
        "response2",
        "completions",
        "answers",
        "winner",
    ),
)
# Who else was asked something, for the row to be made; and what stood in a column before it was changed.
OTHER_READERS = ("labelling", "labeling", "generation", "judge", "annotator", "annotation", "rater")
EARLIER = ("original", "raw")
NO_INPUT = ("<noinput>", "noinput", "no input", "<no input>")  # Alpaca's placeholders


@dataclass
class RowColumns:
    """A row that remembers which of its columns have been read."""

    row: Json
    settings: ParseSettings
    read: set[str] = field(default_factory=set)
    file_columns: tuple[str, ...] = ()  # the names of the columns as the file has them, where the row was put into other ones

    def holds(self, *names: str) -> str:
        """The first of the columns that has a value; "" for none."""
        return next((n for n in names if n not in self.settings.ignore and self.row.get(n) not in (None, "", [], ())), "")

    def take(self, *names: str) -> Any:
        """The value of the first of the columns that has one.  It counts as read, and so do those that are empty or equal."""
        name = self.holds(*names)
        value = self.row[name] if name else None
        self.read.update(n for n in names if n == name or self.row.get(n) in (None, "", [], (), value))
        return value

    def take_number(self, name: str) -> float | None:
        """The same as a finite number.  Raises `UnusableRowError` where it is none."""
        value = self.take(name)
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if number is not None and not math.isfinite(number):
            raise UnusableRowError(f"a {name} that is no number")
        return number

    def take_text(self, *names: str) -> Text:
        """The same as text or messages; "" for none."""
        value = self.take(*names)
        return "" if value is None else parse_text(value, self.settings.ignore)

    def take_answer(self, side: str, *names: str) -> Text:
        """The same as an answer.  Raises `UnusableRowError` where there is none, or an empty one."""
        self.read.update(names)
        present = [n for n in names if n in self.row and n not in self.settings.ignore]
        name = self.holds(*present) or (present or [""])[0]
        return parse_answer(self.row.get(name), side, self.settings.ignore)

    def check_rest(self, notes: frozenset[str] = NOTE_NAMES | REASON_NAMES) -> None:
        """Raises SkilldeltaError for columns of words that nothing has read; notes the others.

        A column that repeats a text of the row says nothing new; `notes` are the names of those that hold remarks.
        """
        rest = {k: v for k, v in self.row.items() if k not in self.read and v not in (None, "", [], {}, ())}
        words = {
            k: v
            for k, v in rest.items()
            if k not in self.settings.ignore and not self.is_provenance(k) and may_be_content(k, v, notes)
        }
        if words:
            texts = {text.strip() for name in self.read for text in nested_texts(self.row.get(name))}
            words = {k: v for k, v in words.items() if has_effect(k) or any(t.strip() not in texts for t in nested_texts(v))}
        if words:
            source, is_one, flag = self.settings.source or "the data", len(words) == 1, ",".join(words)
            part, them = ("it may be a part", "it") if is_one else ("they may be parts", "them")
            raise SkilldeltaError(
                f"A row of {source} has the columns {', '.join(self.file_columns or self.row)}, and nothing says what "
                f"{', '.join(map(repr, words))} {'is' if is_one else 'are'} for: {part} of the prompt, and nothing is dropped "
                f"silently.  Put the text into the prompt, or name {them} with --ignore-columns {flag} if the model neither "
                f"reads nor writes {them}."
            )
        self.settings.unused.update(rest)

    def is_provenance(self, column: str) -> bool:
        """Whether a column says how a row with a question was made: what a labeller read, or the question before a change."""
        first, *others = name_parts(column)
        has_question = bool(self.holds(*QUESTIONS, *ADDITIONS, *CONVERSATIONS))
        is_request = first in OTHER_READERS and others[-1:] == ["prompt"]
        return has_question and (is_request or (first in EARLIER and "_".join(others) in self.read))


def take_question(columns: RowColumns) -> Text:
    """What the columns for prompts ask: text where the column `prompt` alone holds it as text, else messages; "" for none.

    An instruction and its input become one user turn; earlier turns may stand in `history`, as pairs of texts.
    """
    names = [n for n in QUESTIONS if columns.holds(n)]
    texts = {columns.take_text(n) for n in names}
    if len(texts) > 1:
        raise UnusableRowError(f"{' and '.join(names)} ask different things")
    question: Text = texts.pop() if texts else ""
    columns.read.update(QUESTIONS)
    is_plain = names == ["prompt"]
    for name in ADDITIONS:
        addition = columns.take_text(name)
        if isinstance(addition, str) and addition.strip().lower() in NO_INPUT:
            addition = ""
        if addition and question:
            if not (isinstance(question, str) and isinstance(addition, str)):
                raise UnusableRowError(f"{name} next to a prompt of messages")
            question, is_plain = f"{question}\n\n{addition}", False
        elif addition:
            question, is_plain = addition, False
    history = columns.take("history")
    if history is not None:
        question, is_plain = (*parse_history(history), *as_user_turn(question)), False
    question = require_question(question)
    is_text = is_plain and not (isinstance(question, str) and has_turn_marks(question))
    return question if is_text or not question else as_user_turn(question)


def parse_history(value: Any) -> Turns:
    """Earlier turns as pairs of a question and an answer, or as messages."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if all(isinstance(p, Sequence) and len(p) == 2 and all(isinstance(text, str) for text in p) for p in value):
            return tuple(m for user_text, answer in value for m in (Message("user", user_text), Message("assistant", answer)))
        turns = parse_text(value)
        if isinstance(turns, tuple):
            return turns
    raise UnusableRowError("a history that is neither messages nor pairs of texts")


def take_prompt(columns: RowColumns) -> Text:
    """The prompt of a row: its question, or its conversation, after its system prompt and its tools."""
    question, conversation = take_question(columns), require_question(columns.take_text(*CONVERSATIONS))
    if question and conversation and not asks(conversation, question):
        raise UnusableRowError("a prompt next to a conversation")
    return add_context(columns, conversation or question)


def asks(conversation: Text, question: Text) -> bool:
    """Whether a question is a turn of the conversation."""
    text = question if isinstance(question, str) else question[-1].content
    return isinstance(conversation, tuple) and text.strip() in [m.content.strip() for m in conversation if m.role == "user"]


def has_empty_question(row: Json) -> bool:
    """Whether a row has a column for a question, and nothing in any of them: its prompt is missing, not left out."""
    has_column = any(name in row for name in QUESTIONS)
    return has_column and all(row.get(name) in (None, "", [], ()) for name in (*QUESTIONS, *ADDITIONS))


def add_context(columns: RowColumns, prompt: Text) -> Text:
    """The prompt behind the row's system prompt and tools, or as it is where there are none."""
    system_value, tools = columns.take(*SYSTEM), columns.take(columns.holds("tools") or "functions")
    if not isinstance(system_value, str | list | None) or any(
        "role" in part for part in system_value or () if isinstance(part, dict)
    ):
        raise UnusableRowError("a system prompt of messages")
    system = content_text(system_value, "system")
    if system and prompt and isinstance(prompt, tuple) and prompt[0].role == "system":
        if prompt[0].content != system:
            raise UnusableRowError("two different system prompts")
        system = ""
    if repeats_tools(
        [system, *(m.content for m in prompt if m.role == "system")] if isinstance(prompt, tuple) else [system], tools
    ):
        tools = None
    settings = columns.take(TEMPLATE_SETTINGS) if isinstance(prompt, tuple) else None  # plain text goes through no template
    tool_turn = declare_tools(tools, settings)
    if not (system or tool_turn):
        return prompt
    if not prompt:
        raise UnusableRowError("a system prompt or tools without a question")
    return (*tool_turn, *((Message("system", system),) if system else ()), *as_user_turn(prompt))


def repeats_tools(systems: Sequence[str], tools: Any) -> bool:
    """Whether the system prompts write down every text of a row's tools already, as JSON or Python does (Hermes)."""
    texts, system = list(nested_texts(parse_json(tools) or ())), "\n".join(systems)
    return bool(texts) and all(
        any(quote in system for quote in (json.dumps(t, ensure_ascii=False), json.dumps(t), repr(t))) for t in texts
    )
