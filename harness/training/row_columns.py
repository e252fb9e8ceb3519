"""The columns of a training row: what holds the prompt, what is a label, and what would be lost without a word.

A column is read, or it is a label (a number, a flag, an id, a name of METADATA), or the row is refused: a column of words that
nobody understands may be half of the question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.training.messages import (
    Text,
    Turns,
    UnusableRowError,
    as_user_turn,
    declare_tools,
    holds_words,
    parse_answer,
    parse_text,
)
from harness.training.parse_settings import ParseSettings
from harness.types import Json, Message, SkilldeltaError

SYSTEM = ("system", "system_prompt", "system_message")
QUESTIONS = ("prompt", "question", "instruction", "query", "problem")
ADDITIONS = ("input", "context")  # the second half of an instruction; the question itself where there is no other
CONVERSATIONS = ("messages", "conversations", "conversation")
ANSWERS = ("completion", "response", "output", "solution", "answer")
# Columns of answers in rows of preferences: a policy's prompts may stand in such rows.
PAIR_ANSWERS = ("chosen", "rejected", "response_w", "response_l", "response_a", "response_b", "completions")
# Parts of the names of columns that say something about a row and are no part of it.
METADATA_NAMES = """
id ids uid uuid idx index key hash source sources dataset datasets origin origins provenance split subset
category categories type kind task tasks topic topics domain skill skills tag tags cluster label labels lang
language languages locale model models generator generators generation generations annotator annotators
annotation annotations judge rater raters worker author date time timestamp tstamp created url link license
licence version score scores rating ratings rank ranking reward rewards rate quality length tokens count num
turn turns metadata meta info stats rationale rationales feedback critique principle explanation order
status moderation preference reason correct incorrect
"""
METADATA = frozenset(METADATA_NAMES.split())
CONTENT = frozenset(("text", "texts", "document", "documents", "passage", "passages", "content", "body", "article"))
PICTURES = frozenset(("image", "images", "audio", "audios", "video", "videos"))


@dataclass
class RowColumns:
    """A row that remembers which of its columns have been read."""

    row: Json
    settings: ParseSettings
    read: set[str] = field(default_factory=set)

    def holds(self, *names: str) -> str:
        """The first of the columns that has a value; "" for none."""
        return next((n for n in names if n not in self.settings.ignore and self.row.get(n) not in (None, "", [], ())), "")

    def take(self, *names: str) -> Any:
        """The value of the first of the columns that has one; all of them count as read."""
        self.read.update(names)
        name = self.holds(*names)
        return self.row[name] if name else None

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

    def check_rest(self) -> None:
        """Raises SkilldeltaError for a column of words that nothing has read; notes the others."""
        for name, value in self.row.items():
            if name in self.read or value in (None, "", [], {}, ()):
                continue
            parts = set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
            is_known = name in self.settings.ignore or (parts & METADATA and not parts & (CONTENT | PICTURES))
            if not is_known and (holds_words(value) or parts & PICTURES):
                raise SkilldeltaError(
                    f"A row of {self.settings.source or 'the data'} has the columns {', '.join(self.row)}, and nothing "
                    f"says what {name!r} is for.  It may be a part of the prompt, so it is not dropped silently.  Put its text "
                    f"into the prompt, or name it with --ignore-columns {name} if the model neither reads nor writes it."
                )
            self.settings.unused.add(name)


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
        if addition and question:
            if not (isinstance(question, str) and isinstance(addition, str)):
                raise UnusableRowError(f"{name} next to a prompt of messages")
            question, is_plain = f"{question}\n\n{addition}", False
        elif addition:
            question, is_plain = addition, False
    history = columns.take("history")
    if history is not None:
        question, is_plain = (*parse_history(history), *as_user_turn(question)), False
    return question if is_plain or not question else as_user_turn(question)


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
    question, conversation = take_question(columns), columns.take_text(*CONVERSATIONS)
    if question and conversation:
        raise UnusableRowError("a prompt next to a conversation")
    return add_context(columns, conversation or question)


def add_context(columns: RowColumns, prompt: Text) -> Text:
    """The prompt behind the row's system prompt and tools, or as it is where there are none."""
    system, tools = columns.take_text(*SYSTEM), declare_tools(columns.take("tools"))
    if isinstance(system, tuple):
        raise UnusableRowError("a system prompt of messages")
    if system and prompt and isinstance(prompt, tuple) and prompt[0].role == "system":
        if prompt[0].content != system:
            raise UnusableRowError("two different system prompts")
        system = ""
    if not (system or tools):
        return prompt
    if not prompt:
        raise UnusableRowError("a system prompt or tools without a question")
    return (*tools, *((Message("system", system),) if system else ()), *as_user_turn(prompt))
