"""A user's own prompts as a task: files of texts or conversations in, questions out, with nothing to be right about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.behaviour.questions import MESSAGES
from harness.data import parse_rows, read_text
from harness.training.conversations import parse_prompt
from harness.training.messages import Text, UnusableRowError, describe_faults
from harness.training.parse_settings import ParseSettings
from harness.training.row_texts import names_without_rows
from harness.types import Example, Json, Message, Request, Response, Score, SkilldeltaError, Task, digest

SKILL = "behaviour"
NOT_SCORED = "behaviour is measured, not scored"
ROLES = ("system", "user", "assistant")
TEXT_FILES = (".txt", ".md", ".txt.gz")


@dataclass(frozen=True)
class PromptFile:
    """The prompts of a file as rows {"messages": [{role, content}]}; `faults`: why rows are no prompts, with how often."""

    path: Path
    rows: tuple[Json, ...]
    faults: dict[str, int] = field(default_factory=dict)


def read_prompts(path: Path, ignore_columns: Sequence[str] = (), limit: int = 0) -> PromptFile:
    """The prompts of a file: .txt (one a line), .jsonl, .json or .csv in any format that training reads.

    Of a conversation the last answer is left out.  A prompt that is there twice is asked once.  SkilldeltaError for a file
    without a prompt, and for columns that are not understood.
    """
    if not path.is_file():
        raise SkilldeltaError(
            f"There is no file of prompts {path}.  Write one prompt a line (.txt), or rows (.jsonl, .json, .csv)."
        )
    settings = ParseSettings(source=str(path), chat=True, ignore=tuple(ignore_columns))
    rows: dict[str, Json] = {}
    faults = Counter[str]()
    raw_rows = list(raw_prompts(path))
    for raw in raw_rows:
        try:
            row = prompt_row(parse_prompt(raw, settings).prompt)
        except UnusableRowError as fault:
            faults[str(fault)] += 1
            continue
        key = digest(row)
        if key in rows:
            faults["the same prompt again"] += 1
        rows.setdefault(key, row)
    if not rows:
        raise SkilldeltaError(f"{path} holds no prompt: {describe_faults(faults) or 'it is empty'}.")
    if missing := names_without_rows(ignore_columns, raw_rows):
        columns = ", ".join(dict.fromkeys(column for raw in raw_rows for column in raw))
        raise SkilldeltaError(f"--ignore-columns {','.join(missing)}: no row of {path} has it.  The columns are: {columns}.")
    return PromptFile(path, tuple(rows.values())[: limit or None], dict(sorted(faults.items())))


def raw_prompts(path: Path) -> Iterable[Json]:
    """The lines of a text file as rows, or the rows of another one."""
    if path.name.endswith(TEXT_FILES):
        return [{"prompt": line.strip()} for line in read_text(path).splitlines() if line.strip()]
    return parse_rows(read_text(path), path.name.removesuffix(".gz"))


def prompt_row(prompt: Text) -> Json:
    """A prompt as a row.  UnusableRowError for turns that are no words, and where no user speaks last."""
    turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    if any(not isinstance(turn, Message) or turn.role not in ROLES for turn in turns):
        raise UnusableRowError("tools or calls, which are no part of a prompt here")
    if not turns or turns[-1].role != "user" or not turns[-1].content.strip():
        raise UnusableRowError("no turn of the user at the end")
    return {MESSAGES: [{"role": turn.role, "content": turn.content} for turn in turns]}


def messages_of(row: Json) -> tuple[Message, ...]:
    return tuple(Message(turn["role"], turn["content"]) for turn in row[MESSAGES])


def prompt_task(file: PromptFile, max_tokens: int) -> Task:
    """The task of a file, named after it: its content decides what is asked again."""
    rows = list(file.rows)
    return Task(
        name=file.path.name.removesuffix(".gz").rpartition(".")[0] or file.path.name,
        skill=SKILL,
        version=1,
        source="prompts of the user",
        rows=lambda folder: rows,
        ask=lambda example: ask(example, max_tokens),
        score=lambda example, response: Score(None, why=NOT_SCORED),
        ideal=refuse_ideal,
        summary=f"{len(rows)} prompts",
    )


def ask(example: Example, max_tokens: int) -> Request:
    return Request(messages_of(example.row), max_tokens=max_tokens)


def refuse_ideal(example: Example) -> Response:
    raise SkilldeltaError("Prompts of a user have no perfect answer.")
