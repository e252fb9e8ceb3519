"""grade-school-math: example_model_solutions.jsonl, {question, ground_truth, MODEL: {is_correct, solution}, ...}."""

from __future__ import annotations

from collections.abc import Iterator

from harness.interchange.recorded_answers import parse_answers
from harness.interchange.recorded_outputs import RecordedOutput, choose_model
from harness.interchange.untrusted_files import UntrustedFile
from harness.types import Json


def holds_outputs(file: UntrustedFile) -> bool:
    return bool(file.rows) and "question" in file.rows[0] and bool(list_models(file.rows[0]))


def read_outputs(file: UntrustedFile, model: str) -> Iterator[RecordedOutput]:
    """The solutions of one model."""
    chosen_model = choose_model(model, list_models(file.rows[0]), file.path)
    for row in file.rows:
        for response in parse_answers(row[chosen_model]["solution"], {}):
            yield RecordedOutput(response, row={"question": row["question"]}, prompt=row["question"])


def list_models(row: Json) -> list[str]:
    return [name for name, value in row.items() if isinstance(value, dict) and "solution" in value]
