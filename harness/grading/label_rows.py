"""The rows of the labelled sets as their sources write them, each column checked: no wrong label passes for another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from harness import data
from harness.typed_fields import check_fields
from harness.types import Json, SkilldeltaError

YesNo = Literal["yes", "no"]
Compliance = Literal["1_full_compliance", "2_full_refusal", "3_partial_refusal"]


@dataclass(frozen=True)
class LlmbarRow:
    """`label`: the number of the better output."""

    input: str
    output_1: str
    output_2: str
    label: Literal[1, 2]


@dataclass(frozen=True)
class AutoJRow:
    """`label`: 0 where people prefer the first response, 1 the second, 2 for a tie."""

    prompt: str
    response_1: str
    response_2: str
    scenario: str
    label: Literal[0, 1, 2]


@dataclass(frozen=True)
class HarmlessRow:
    better: str
    worse: str


@dataclass(frozen=True)
class VoteRow:
    turn: int
    winner: Literal["model_a", "model_b", "tie", "tie (inconsistent)"]
    conversation_a: list[dict[str, Any]]
    conversation_b: list[dict[str, Any]]

    def text(self, side: str, place: int) -> str:
        """The content of a message of side "a" or "b".  SkilldeltaError where there is none."""
        conversation: list[Json] = getattr(self, f"conversation_{side}")
        content = conversation[place].get("content") if place < len(conversation) else None
        if not isinstance(content, str):
            raise SkilldeltaError(f"message {place + 1} of conversation_{side} has no text as its content.")
        return content


@dataclass(frozen=True)
class CompletionRow:
    prompt: str
    completion: str
    final_label: Compliance


@dataclass(frozen=True)
class JudgementRow:
    question: str
    model_answer: str
    correct_answers: str
    truthfulness: YesNo
    informativeness: YesNo

    @property
    def answer(self) -> str:
        return self.model_answer.strip().removeprefix("A:").strip()


Kind = TypeVar("Kind")
Made = TypeVar("Made")
# The columns' names in the files, where ours are other ones.
AUTO_J_COLUMNS = {"response_1": "response 1", "response_2": "response 2"}
HARMLESS_COLUMNS = {"better": "chosen", "worse": "rejected"}


def read_label_rows(
    local: str, folder: Path, kind: type[Kind], make: Callable[[Kind], Made | None], columns: dict[str, str] | None = None
) -> Iterator[Made]:
    """What `make` makes of each row of a file below the data folder; None is left out.

    SkilldeltaError names the file, the row and the column that is not as its source writes it.
    """
    file = data.locate(local, folder)
    names = {field.name: (columns or {}).get(field.name, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    for number, row in enumerate(data.check_columns(data.read(file), list(names.values()), str(file))):
        try:
            made = make(kind(**check_fields(kind, {name: row[column] for name, column in names.items()})))
        except SkilldeltaError as error:
            raise SkilldeltaError(f"Row {number} of {file}: {error}  Fetch the file again.") from error
        if made is not None:
            yield made
