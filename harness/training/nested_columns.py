"""Rows of pairs whose columns lie within each other, in the columns that every pair has: a prompt, and two answers."""

from __future__ import annotations

from collections.abc import Mapping

from harness.training.messages import UnusableRowError
from harness.types import Json

OTHER_CONVERSATION = "rejected_messages"  # ms-swift's: a conversation that is worse than the row's messages


def unfold_columns(row: Json) -> Json:
    """The row with its prompt and both answers side by side; a row of another form as it is.

    OpenAI's rows hold {"input": {"messages": [...], "tools": [...]}, "preferred_output": [...], "non_preferred_output": [...]}.
    ms-swift's hold messages that end with the better answer, and `rejected_response` or `rejected_messages`.
    Raises `UnusableRowError` where a column stands in a row twice.
    """
    request, messages = row.get("input"), row.get("messages")
    if "preferred_output" in row and isinstance(request, Mapping):
        rest = {name: value for name, value in row.items() if name != "input"}
        if both := sorted(rest.keys() & request.keys()):
            raise UnusableRowError(f"{both[0]} next to the input and in it")
        return {**request, **rest}
    if row.get(OTHER_CONVERSATION) and messages:
        rest = {name: value for name, value in row.items() if name not in ("messages", OTHER_CONVERSATION)}
        return {**rest, "chosen": messages, "rejected": row[OTHER_CONVERSATION]}
    if row.get("rejected_response") and "chosen_response" not in row and isinstance(messages, list) and len(messages) > 1:
        *before, last = messages
        if isinstance(last, Mapping) and last.get("role") == "assistant":
            return {**row, "messages": before, "chosen_response": [last]}
    return row
