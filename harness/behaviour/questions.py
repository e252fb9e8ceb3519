"""The words of a question in a row of any benchmark: what an answer's language is compared with."""

from __future__ import annotations

from harness.training.question_overlap import QUESTION_COLUMNS
from harness.training.source_rows import row_text
from harness.types import Json

MESSAGES = "messages"


def question_text(row: Json) -> str:
    """The user's turns of a conversation, the column that holds the question, or else every text of the row."""
    turns = row.get(MESSAGES)
    if isinstance(turns, list):
        texts = [row_text(turn.get("content", "")) for turn in turns if isinstance(turn, dict) and turn.get("role") == "user"]
        return "\n".join(texts)
    columns = {str(name).lower(): value for name, value in row.items() if isinstance(value, str)}
    return next((columns[name] for name in QUESTION_COLUMNS if name in columns), row_text(row))
